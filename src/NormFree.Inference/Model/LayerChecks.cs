using NormFree.Kernels.Bits;

namespace NormFree.Inference.Model;

/// <summary>What can be wrong with a layer by itself.</summary>
/// <remarks>Sizes are checked before what has them; lengths are computed in 64 bits, which no two sizes within the bounds can pass.</remarks>
internal static class LayerChecks
{
    /// <summary>The largest number of channels, and the largest sum of signs: float32 holds every integer up to it.</summary>
    public const int Largest = 1 << 24;

    /// <summary>The largest kernel, stride and number of pixels on a side.</summary>
    public const int LargestSide = 1 << 16;

    /// <summary>The most values of a map: sizes of maps, and places in them, fit 32 bits.</summary>
    public const int LargestMap = int.MaxValue;

    /// <summary>Everything that is wrong, worst first; what comes after the first may be its consequence.</summary>
    public static IEnumerable<string> Problems(PackedLayer layer) => layer switch
    {
        RealConvolution real => Of(real),
        MaxPool pool => Window(pool.Kernel, pool.Stride, pool.Padding),
        BinaryLayer binary => Of(binary),
        Classifier classifier => Of(classifier),
        _ => [$"there is no layer of kind {layer.GetType().Name}"],
    };

    private static IEnumerable<string> Of(RealConvolution layer) =>
        Channels(layer.In, layer.Out)
            .Concat(Window(layer.Kernel, layer.Stride, layer.Padding))
            .Concat(Sum(layer.In, layer.Kernel))
            .Concat(Finite("weights", layer.Weights, (long)layer.In * layer.Kernel * layer.Kernel, layer.Out))
            .Concat(Finite("bias", layer.Bias, 1, layer.Out));

    private static IEnumerable<string> Of(Classifier layer) =>
        Channels(layer.In, layer.Classes)
            .Concat(Finite("weights", layer.Weights, layer.In, layer.Classes))
            .Concat(Finite("bias", layer.Bias, 1, layer.Classes));

    private static IEnumerable<string> Of(BinaryLayer layer) =>
        Channels(layer.In, layer.Out)
            .Concat(Window(layer.Kernel, layer.Stride, layer.Padding))
            .Concat(Sum(layer.In, layer.Kernel))
            .Concat(Values("threshold", layer.Threshold, 1, layer.In, value => !float.IsNaN(value), "a threshold is no NaN"))
            .Concat(Signs("signs", layer.Signs, layer.In, (long)layer.Kernel * layer.Kernel, layer.Out))
            .Concat(Finite("scale", layer.Scale, 1, layer.Out))
            .Concat(Finite("bias", layer.Bias, 1, layer.Out))
            .Concat(Finite("slope", layer.Slope, 1, layer.Out))
            .Concat(Finite("shift", layer.Shift, 1, layer.Out))
            .Concat(Shortcut(layer));

    private static IEnumerable<string> Shortcut(BinaryLayer layer)
    {
        if (layer.Shortcut is RepeatedInput && layer.Out % layer.In != 0)
            yield return $"its shortcut repeats {layer.In} channels, which do not make {layer.Out}";
        if (layer.Shortcut is not (RepeatedInput or PooledInput))
            yield return $"there is no shortcut of kind {layer.Shortcut.GetType().Name}";
        if (layer.Shortcut is PooledInput pooled)
            foreach (string problem in Pooled(layer, pooled))
                yield return problem;
    }

    private static IEnumerable<string> Pooled(BinaryLayer layer, PooledInput pooled)
    {
        if (pooled.Kernel is < 1 or > LargestSide)
            yield return $"its shortcut's kernel is {pooled.Kernel}, not a number from 1 to {LargestSide}";
        if (!float.IsFinite(pooled.Factor))
            yield return $"its shortcut's factor is {pooled.Factor}";
        if (pooled.Projection is null && layer.In != layer.Out)
            yield return $"its shortcut gives {layer.In} channels where it has {layer.Out} filters";
        if (pooled.Projection is { } projection)
            foreach (string problem in Projected(layer, projection))
                yield return problem;
    }

    private static IEnumerable<string> Projected(BinaryLayer layer, Projection projection) => projection switch
    {
        BinaryProjection binary =>
            Signs("projection_signs", binary.Signs, layer.In, 1, layer.Out).Concat(Finite("projection_scale", binary.Scale, 1, layer.Out)),
        RealProjection real => Finite("projection_weights", real.Weights, layer.In, layer.Out),
        _ => [$"there is no projection of kind {projection.GetType().Name}"],
    };

    private static IEnumerable<string> Channels(int inputs, int outputs)
    {
        if (inputs is < 1 or > Largest || outputs is < 1 or > Largest)
            yield return $"it goes from {inputs} to {outputs} channels: both must be from 1 to {Largest}";
    }

    /// <summary>With less padding than kernel, every square lies on a pixel at least.</summary>
    private static IEnumerable<string> Window(int kernel, int stride, int padding)
    {
        if (kernel is < 1 or > LargestSide || stride is < 1 or > LargestSide)
            yield return $"its kernel is {kernel} and its stride {stride}: both must be from 1 to {LargestSide}";
        if (padding < 0 || padding >= kernel)
            yield return $"its padding is {padding}: it must be from 0 to less than its kernel, {kernel}";
    }

    private static IEnumerable<string> Sum(int inputs, int kernel)
    {
        if ((long)inputs * kernel * kernel > Largest)
            yield return $"its filters have {(long)inputs * kernel * kernel} weights each, more than {Largest}";
    }

    private static IEnumerable<string> Finite(string name, float[] values, long perFilter, int filters) =>
        Values(name, values, perFilter, filters, float.IsFinite, "it must be finite");

    private static IEnumerable<string> Values(
        string name, float[] values, long perFilter, int filters, Predicate<float> allowed, string rule)
    {
        if (values.Length != perFilter * filters)
            yield return $"its {name} has {values.Length} values, not {perFilter * filters}";
        int place = Array.FindIndex(values, value => !allowed(value));
        if (place >= 0)
            yield return $"value {place} of its {name} is {values[place]}: {rule}";
    }

    private static IEnumerable<string> Signs(string name, ulong[] signs, int channels, long taps, int filters)
    {
        int words = SignPacking.Words(channels);
        if (signs.Length != taps * words * filters)
            yield return $"its {name} has {signs.Length} words, not {taps * words * filters}";
        if (channels % 64 == 0)
            yield break;
        ulong behind = ulong.MaxValue << (channels % 64);
        for (int last = words - 1; last < signs.Length; last += words)
            if ((signs[last] & behind) != 0)
                yield return $"word {last} of its {name} has bits behind channel {channels - 1}: they must be 0";
    }
}
