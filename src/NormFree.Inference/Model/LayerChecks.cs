using NormFree.Kernels.Bits;

namespace NormFree.Inference.Model;

/// <summary>Checks each layer by itself.</summary>
/// <remarks>
/// Sizes are checked before the arrays that depend on them; lengths are computed in 64 bits. Problems come in order: later ones may be consequences of the
/// first.
/// </remarks>
internal static class LayerChecks
{
    /// <summary>Everything that is wrong with a layer, without a full stop.</summary>
    public static IEnumerable<string> Problems(PackedLayer layer) => layer switch
    {
        PackedConvolution real => Convolution(real),
        PackedMaxPool pool => Window(pool.Kernel, pool.Stride, pool.Padding),
        PackedAffine affine => Affine(affine),
        PackedAveragePool pool => Side("kernel", pool.Kernel),
        PackedFlatten => [],
        PackedAdd { Pooled: { } pooled } => Pooling(pooled),
        PackedAdd => [],
        PackedBinaryLayer binary => BinaryLayer(binary),
        PackedClassifier classifier => Classifier(classifier),
        _ => [$"unknown layer kind {layer.GetType().Name}"],
    };

    /// <summary>What is wrong with the projection of a shortcut from <paramref name="inputs"/> channels to <paramref name="outputs"/>.</summary>
    public static IEnumerable<string> Projection(int inputs, int outputs, PackedProjection projection) => projection switch
    {
        BinaryProjection binary =>
            Signs("projection_signs", binary.Signs, inputs, 1, outputs).Concat(Finite("projection_scale", binary.Scale, 1, outputs)),
        RealProjection real =>
            FilterWeights(inputs, 1, PackedLimits.MaxRealFilterWeights).Concat(Finite("projection_weights", real.Weights, inputs, outputs)),
        _ => [$"unknown projection kind {projection.GetType().Name}"],
    };

    private static IEnumerable<string> Convolution(PackedConvolution layer)
    {
        if (layer.Groups < 1 || layer.In % layer.Groups != 0 || layer.Out % layer.Groups != 0)
            return [$"it maps {layer.In} channels to {layer.Out} in {layer.Groups} groups; both must be multiples of the groups"];
        int perGroup = layer.In / layer.Groups;
        return Channels(layer.In, layer.Out)
            .Concat(Window(layer.Kernel, layer.Stride, layer.Padding))
            .Concat(FilterWeights(perGroup, layer.Kernel, PackedLimits.MaxRealFilterWeights))
            .Concat(Finite("weights", layer.Weights, (long)perGroup * layer.Kernel * layer.Kernel, layer.Out))
            .Concat(Finite("bias", layer.Bias, 1, layer.Out));
    }

    private static IEnumerable<string> Affine(PackedAffine layer) =>
        Channels(layer.Channels, layer.Channels)
            .Concat(Finite("scale", layer.Scale, 1, layer.Channels))
            .Concat(Finite("bias", layer.Bias, 1, layer.Channels))
            .Concat(Finite("slope", layer.Slope, 1, layer.Channels))
            .Concat(Clamp(layer.Low, layer.High));

    private static IEnumerable<string> Clamp(float low, float high)
    {
        if (!(low <= high && low < float.PositiveInfinity && high > float.NegativeInfinity))
            yield return $"it clamps to [{low}, {high}]; low must be finite or -∞, high finite or ∞, and low at most high";
    }

    private static IEnumerable<string> Classifier(PackedClassifier layer) =>
        Channels(layer.In, layer.Classes)
            .Concat(Finite("weights", layer.Weights, layer.In, layer.Classes))
            .Concat(Finite("bias", layer.Bias, 1, layer.Classes));

    private static IEnumerable<string> BinaryLayer(PackedBinaryLayer layer) =>
        Channels(layer.In, layer.Out)
            .Concat(Window(layer.Kernel, layer.Stride, layer.Padding))
            .Concat(FilterWeights(layer.In, layer.Kernel, PackedLimits.MaxChannels))
            .Concat(Values("threshold", layer.Threshold, 1, layer.In, value => !float.IsNaN(value), "a threshold must be a number or ±∞"))
            .Concat(Signs("signs", layer.Signs, layer.In, (long)layer.Kernel * layer.Kernel, layer.Out))
            .Concat(Finite("scale", layer.Scale, 1, layer.Out))
            .Concat(Finite("bias", layer.Bias, 1, layer.Out))
            .Concat(Finite("slope", layer.Slope, 1, layer.Out))
            .Concat(Finite("shift", layer.Shift, 1, layer.Out))
            .Concat(Shortcut(layer));

    private static IEnumerable<string> Shortcut(PackedBinaryLayer layer) => layer.Shortcut switch
    {
        // Channels reports invalid numbers of channels.
        IdentityShortcut when layer.In < 1 || layer.Out % layer.In == 0 => [],
        IdentityShortcut => [$"its identity shortcut cannot repeat {layer.In} channels to fill {layer.Out}"],
        NoShortcut or ConcatenatedShortcut => [],
        AveragePoolShortcut pooled => AveragePool(layer, pooled),
        _ => [$"unknown shortcut kind {layer.Shortcut.GetType().Name}"],
    };

    private static IEnumerable<string> AveragePool(PackedBinaryLayer layer, AveragePoolShortcut pooled)
    {
        foreach (string problem in Pooling(pooled))
            yield return problem;
        if (pooled.Projection is null && layer.In != layer.Out)
            yield return $"its shortcut has {layer.In} channels, but the layer has {layer.Out} filters";
        if (pooled.Projection is { } projection)
            foreach (string problem in Projection(layer.In, layer.Out, projection))
                yield return problem;
    }

    private static IEnumerable<string> Pooling(AveragePoolShortcut pooled)
    {
        foreach (string problem in Side("shortcut's kernel", pooled.Kernel))
            yield return problem;
        if (!float.IsFinite(pooled.Factor))
            yield return $"its shortcut's factor is {pooled.Factor}; it must be finite";
    }

    private static IEnumerable<string> Side(string name, int side)
    {
        if (side is < 1 or > PackedLimits.MaxSide)
            yield return $"its {name} is {side}; it must be from 1 to {PackedLimits.MaxSide}";
    }

    private static IEnumerable<string> Channels(int inputs, int outputs)
    {
        if (inputs is < 1 or > PackedLimits.MaxChannels || outputs is < 1 or > PackedLimits.MaxChannels)
            yield return $"it maps {inputs} channels to {outputs}; both must be from 1 to {PackedLimits.MaxChannels}";
    }

    /// <summary>Padding less than the kernel means that every window contains at least one pixel of the map.</summary>
    private static IEnumerable<string> Window(int kernel, int stride, int padding)
    {
        if (kernel is < 1 or > PackedLimits.MaxSide || stride is < 1 or > PackedLimits.MaxSide)
            yield return $"its kernel is {kernel} and its stride {stride}; both must be from 1 to {PackedLimits.MaxSide}";
        if (padding < 0 || padding >= kernel)
            yield return $"its padding is {padding}; it must be at least 0 and less than the kernel, {kernel}";
    }

    private static IEnumerable<string> FilterWeights(int inputs, int kernel, int limit)
    {
        if ((long)inputs * kernel * kernel is var weights && weights > limit)
            yield return $"each of its filters has {weights} weights; the limit is {limit}";
    }

    private static IEnumerable<string> Finite(string name, float[] values, long perFilter, int filters) =>
        Values(name, values, perFilter, filters, float.IsFinite, "it must be finite");

    private static IEnumerable<string> Values(
        string name, float[] values, long perFilter, int filters, Predicate<float> allowed, string rule)
    {
        if (values.Length != perFilter * filters)
            yield return $"its {name} has {values.Length} values; it must have {perFilter * filters}";
        int index = Array.FindIndex(values, value => !allowed(value));
        if (index >= 0)
            yield return $"value {index} of its {name} is {values[index]}; {rule}";
    }

    private static IEnumerable<string> Signs(string name, ulong[] signs, int channels, long taps, int filters)
    {
        int words = SignPacking.Words(channels);
        if (signs.Length != taps * words * filters)
            yield return $"its {name} has {signs.Length} words; it must have {taps * words * filters}";
        if (channels % 64 == 0)
            yield break;
        ulong unused = ulong.MaxValue << (channels % 64);
        for (int last = words - 1; last < signs.Length; last += words)
            if ((signs[last] & unused) != 0)
                yield return $"word {last} of its {name} has bits after channel {channels - 1}; they must be 0";
    }
}
