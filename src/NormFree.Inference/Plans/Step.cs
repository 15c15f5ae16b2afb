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

/// <summary>A step whose tasks are ranges of rows of its output. Each task writes the signs of its rows for the next layer.</summary>
/// <param name="output">The output.</param>
/// <param name="signs">Writes its signs.</param>
/// <param name="rows">Its rows.</param>
internal abstract unsafe class RowStep(MapBuffer output, SignWriter signs, RowPartition rows) : Step(rows.Tasks)
{
    /// <summary>The output.</summary>
    protected MapBuffer Output => output;

    /// <inheritdoc/>
    public sealed override void Run(int task, in Frame frame)
    {
        var (first, count) = rows[task];
        var width = output.Size.Width;
        Rows(frame, first, count, output.In(frame) + (long)first * width * output.Size.Channels);
        signs.Pack(frame, output, first * width, count * width);
    }

    /// <summary>Computes rows of the output.</summary>
    /// <param name="frame">The running image.</param>
    /// <param name="first">The first row.</param>
    /// <param name="count">Number of rows.</param>
    /// <param name="target">The first of these rows.</param>
    protected abstract void Rows(in Frame frame, int first, int count, float* target);
}

/// <summary>Copies a planar image to a channels-last map, for networks whose first layer does not read planar images.</summary>
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

/// <summary>Packs the signs of a map that no step before has packed, such as the network's input.</summary>
internal sealed class PackSignsStep : Step
{
    private readonly SignWriter signs;
    private readonly MapBuffer map;

    public PackSignsStep(SignBuffer target, MapBuffer map) : base(map.Size.Height) => (signs, this.map) = (SignWriter.For(target.Reader.Set, target), map);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame) => signs.Pack(frame, map, task * map.Size.Width, map.Size.Width);
}
