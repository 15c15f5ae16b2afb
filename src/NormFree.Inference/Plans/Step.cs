using NormFree.Inference.Layers;

namespace NormFree.Inference.Plans;

/// <summary>A part of a run. Its tasks are independent: any thread may run them, in any order. The next step starts after all of them.</summary>
/// <param name="tasks">Number of tasks.</param>
internal abstract class Step(int tasks)
{
    /// <summary>Number of tasks.</summary>
    public int Tasks => tasks;

    /// <summary>Runs one task.</summary>
    public abstract void Run(int task, in Frame frame);

    /// <summary>Scratch memory for <paramref name="pieces"/> pieces of <paramref name="bytes"/> bytes in total, alignment included.</summary>
    protected static long ScratchBytes(int pieces, long bytes) => bytes + 64L * pieces;
}

/// <summary>Copies a planar image to a channels-last map, for networks that do not start with a real convolution.</summary>
internal sealed unsafe class ChannelsLastStep : Step
{
    private readonly MapBuffer image;
    private readonly MapBuffer map;

    private ChannelsLastStep(MapBuffer image, MapBuffer map) : base(image.Size.Height) => (this.image, this.map) = (image, map);

    /// <summary>Appends the step to a plan.</summary>
    /// <returns>The channels-last map.</returns>
    public static MapBuffer Plan(PlanBuilder builder, MapBuffer image)
    {
        var map = builder.TakeMap(image.Size);
        builder.Steps.Add(new ChannelsLastStep(image, map));
        return map;
    }

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var source = image.RealIn(frame);
        var target = map.RealIn(frame);
        for (var x = 0; x < source.Width; x++)
            for (var channel = 0; channel < map.Size.Channels; channel++) *target.At(task, x, channel) = *source.At(task, x, channel);
    }
}

/// <summary>Packs the signs of the network's input, for networks that start with a binary layer.</summary>
internal sealed class PackSignsStep : Step
{
    private readonly SignWriter signs;
    private readonly MapBuffer map;

    private PackSignsStep(SignWriter signs, MapBuffer map) : base(map.Size.Height) => (this.signs, this.map) = (signs, map);

    /// <summary>Appends the step to a plan.</summary>
    /// <returns>The signs.</returns>
    public static SignBuffer Plan(PlanBuilder builder, PreparedBinaryLayer reader, MapBuffer map)
    {
        var target = builder.TakeSigns(reader, map.Size);
        builder.Steps.Add(new PackSignsStep(SignWriter.For(reader.Set, target), map));
        return target;
    }

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame) => signs.Pack(frame, map, task * map.Size.Width, map.Size.Width);
}
