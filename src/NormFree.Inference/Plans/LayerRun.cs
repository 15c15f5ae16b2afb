using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Kernels.Bits;

namespace NormFree.Inference.Plans;

/// <summary>One layer by itself, on a map of the caller's.</summary>
internal sealed unsafe class LayerRun(PreparedLayer layer, int height, int width)
{
    /// <summary>Runs it on the calling thread.</summary>
    /// <exception cref="ArgumentException">A length is wrong, or the layer cannot take maps of this size.</exception>
    public void Run(ReadOnlySpan<float> x, Span<float> y, Span<ulong> signs)
    {
        var size = Size(x.Length);
        RequireLength(y.Length, Values(size.After(layer.Model)), "values of the result", nameof(y));
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
        if (layer is not PreparedClassifier) new Span<float>(plan.Result.In(frame), y.Length).CopyTo(y);
    }

    /// <summary>A pool takes any number of channels.</summary>
    private MapSize Size(int values)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(height, LayerChecks.LargestSide);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(width, LayerChecks.LargestSide);
        var pixels = (long)height * width;
        var channels = layer.Model switch
        {
            RealConvolution real => real.In,
            BinaryLayer binary => binary.In,
            Classifier classifier => classifier.In,
            _ => (int)Math.Max(1, values / pixels),
        };
        RequireLength(values, pixels * channels, $"values of a map of {height}×{width}×{channels}", "x");
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
