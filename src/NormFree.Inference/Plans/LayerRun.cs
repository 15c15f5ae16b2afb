using NormFree.Formats;
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
        if (layer is PreparedAdd sum)
            throw new ArgumentException($"It adds the input of layer {Quoted.Name(sum.From)}: call the overload that takes both maps.", "layer");
        var size = InputSize(x.Length);
        RequireLength(y.Length, size.After(layer.Model).Values, "output values", nameof(y));
        RequireLength(signs.Length, Words(size), "words of signs", nameof(signs));
        var plan = Plan.OfLayer(layer, size);
        using var arena = plan.Rent();
        fixed (float* result = y) Run(plan, arena.Frame(null, result), x, default, y);
        fixed (ulong* words = signs) plan.InputSigns?.In(arena.Frame(null, null)).Decode(words);
    }

    /// <summary>Runs a sum with the input of another layer.</summary>
    /// <exception cref="ArgumentException">The layer is not a sum, a length is wrong, or the maps cannot be added.</exception>
    public void RunSum(ReadOnlySpan<float> x, ReadOnlySpan<float> shortcut, int shortcutHeight, int shortcutWidth, Span<float> y)
    {
        if (layer is not PreparedAdd sum) throw new ArgumentException("It is not a sum: call the overload that takes one map.", "layer");
        var size = InputSize(x.Length);
        var from = Size(shortcut.Length, shortcutHeight, shortcutWidth, null);
        if ((size.Problem(layer.Model) ?? from.Problem(layer.Model) ?? size.Problem((PackedAdd)layer.Model, from)) is { } problem)
            throw new ArgumentException($"{problem}.", nameof(shortcut));
        RequireLength(y.Length, size.Values, "output values", nameof(y));
        var plan = Plan.OfSum(sum, size, from);
        using var arena = plan.Rent();
        Run(plan, arena.Frame(null, null), x, shortcut, y);
    }

    private void Run(Plan plan, in Frame frame, ReadOnlySpan<float> x, ReadOnlySpan<float> shortcut, Span<float> y)
    {
        x.CopyTo(new Span<float>(plan.Input.In(frame), x.Length));
        if (plan.Shortcut is { } other) shortcut.CopyTo(new Span<float>(other.In(frame), shortcut.Length));
        foreach (var step in plan.Steps)
            for (var task = 0; task < step.Tasks; task++) step.Run(task, frame);
        if (layer is not PreparedClassifier) new Span<float>(plan.Output.In(frame), y.Length).CopyTo(y);
    }

    private MapSize InputSize(int values) => Size(values, height, width, MapSize.InputChannels(layer.Model));

    /// <summary>The size of a map of the caller, which may have any number of channels if <paramref name="required"/> is null.</summary>
    private static MapSize Size(int values, int height, int width, int? required)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(height, PackedLimits.MaxSide);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(width, PackedLimits.MaxSide);
        var pixels = (long)height * width;
        var channels = required ?? (int)Math.Max(1, values / pixels);
        RequireLength(values, pixels * channels, $"input values of a {height}×{width}×{channels} map", "x");
        return new MapSize(height, width, channels);
    }

    private long Words(MapSize size) => layer is PreparedBinaryLayer
        ? (long)size.Height * size.Width * SignPacking.Words(size.Channels)
        : 0;

    private static void RequireLength(int length, long expected, string what, string name)
    {
        if (length != expected) throw new ArgumentException($"There are {length} {what}; there must be {expected}.", name);
    }
}
