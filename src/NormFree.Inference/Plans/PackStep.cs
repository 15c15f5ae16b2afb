using NormFree.Inference.Layers;

namespace NormFree.Inference.Plans;

/// <summary>The signs of a map that no layer has made.</summary>
internal sealed class PackStep : Step
{
    private readonly SignWriter signs;
    private readonly MapPlace map;

    private PackStep(SignWriter signs, MapPlace map) : base(map.Size.Height) => (this.signs, this.map) = (signs, map);

    /// <summary>Adds it to a plan.</summary>
    /// <returns>Where the signs lie.</returns>
    public static SignPlace Plan(PlanBuilder builder, PreparedBinaryLayer reader, MapPlace map)
    {
        var target = builder.TakeSigns(reader, map.Size);
        builder.Steps.Add(new PackStep(SignWriter.For(reader.Set, target), map));
        return target;
    }

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame) => signs.Pack(frame, map, task * map.Size.Width, map.Size.Width);
}
