namespace NormFree.Inference.Plans;

/// <summary>An image as a map, for networks that do not begin with a convolution of real numbers.</summary>
internal sealed unsafe class ChannelsLastStep : Step
{
    private readonly MapPlace image;
    private readonly MapPlace map;

    private ChannelsLastStep(MapPlace image, MapPlace map) : base(image.Size.Height) => (this.image, this.map) = (image, map);

    /// <summary>Adds it to a plan.</summary>
    /// <returns>The map.</returns>
    public static MapPlace Plan(PlanBuilder builder, MapPlace image)
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
