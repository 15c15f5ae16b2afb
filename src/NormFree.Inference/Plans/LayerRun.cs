using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Kernels.Bits;

namespace NormFree.Inference.Plans;

/// <summary>Runs one layer on a map of the caller.</summary>
internal sealed unsafe class LayerRun(PreparedLayer layer, int height, int width)
{
    /// <summary>Runs the layer on the calling thread.</summary>
    /// <exception cref="ArgumentException">A length is wrong, or the layer does not accept maps of this size.</exception>
    public void Run(ReadOnlySpan<float> x, Span<float> y, Span<ulong> signs)
    {
        var size = InputSize(x.Length);
        RequireLength(y.Length, Values(size.After(layer.Model)), "output values", nameof(y));
        RequireLength(signs.Length, Words(size), "words of signs", nameof(signs));
        var plan = Plan.OfLayer(layer, size);
        var arena = plan.Rent();
        try
        {
            fixed (float* result = y) Run(plan, arena.Frame(null, result), x, y);
            fixed (ulong* words = signs) plan.InputSigns?.In(arena.Frame(null, null)).Decode(words);
        }
        finally
        {
            arena.Dispose();
        }
    }

    private void Run(Plan plan, in Frame frame, ReadOnlySpan<float> x, Span<float> y)
    {
        x.CopyTo(new Span<float>(plan.Input.In(frame), x.Length));
        foreach (var step in plan.Steps)
            for (var task = 0; task < step.Tasks; task++) step.Run(task, frame);
        if (layer is not PreparedClassifier) new Span<float>(plan.Output.In(frame), y.Length).CopyTo(y);
    }

    /// <summary>The size of the caller's map. A max-pool accepts any number of channels.</summary>
    private MapSize InputSize(int values)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(height, PackedLimits.MaxSide);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(width, PackedLimits.MaxSide);
        var pixels = (long)height * width;
        var channels = layer.Model switch
        {
            PackedConvolution real => real.In,
            PackedBinaryLayer binary => binary.In,
            PackedClassifier classifier => classifier.In,
            _ => (int)Math.Max(1, values / pixels),
        };
        RequireLength(values, pixels * channels, $"input values of a {height}×{width}×{channels} map", "x");
        return new MapSize(height, width, channels);
    }

    private static long Values(MapSize size) => (long)size.Height * size.Width * size.Channels;

    private long Words(MapSize size) => layer is PreparedBinaryLayer
        ? (long)size.Height * size.Width * SignPacking.Words(size.Channels)
        : 0;

    private static void RequireLength(int length, long expected, string what, string name)
    {
        if (length != expected) throw new ArgumentException($"There are {length} {what}; there must be {expected}.", name);
    }
}
