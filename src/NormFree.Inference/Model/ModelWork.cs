namespace NormFree.Inference.Model;

/// <summary>The work of layers for one image, in the units of <see cref="PackedLimits"/>.</summary>
/// <remarks>Doubles: sizes within the limits give products beyond 64 bits.</remarks>
/// <param name="BinaryMacs">Multiply-accumulates of binary convolutions.</param>
/// <param name="RealMacs">Multiply-accumulates of real values.</param>
/// <param name="PoolTaps">Values read by poolings, affine layers, sums and concatenations.</param>
/// <param name="SignBytes">Bytes of sign maps.</param>
internal readonly record struct ModelWork(double BinaryMacs, double RealMacs, double PoolTaps, double SignBytes)
{
    /// <summary>The work of a layer that maps <paramref name="input"/> to <paramref name="output"/>.</summary>
    public static ModelWork Of(PackedLayer layer, MapSize input, MapSize output) => layer switch
    {
        // Kernels compute the filters of a group one by one if they are too few for a vector.
        PackedConvolution real => new(
            0, Pixels(output) * Square(real.Kernel) * real.In * RoundUp(real.Out / real.Groups, real.Groups == 1 ? 16 : 64), 0, 0),
        PackedMaxPool pool => new(0, 0, Pixels(output) * Square(pool.Kernel) * RoundUp(input.Channels, 16), 0),
        PackedBinaryLayer binary => Of(binary.Shortcut, input, output) + new ModelWork(
            Pixels(output) * Square(binary.Kernel) * RoundUp(binary.In, 64) * RoundUp(binary.Out, 32), 0, 0, input.SignBytes(binary.Padding)),
        PackedClassifier => new(0, (double)input.Channels * RoundUp(output.Channels, 16), Reads(input), 0),
        PackedAffine or PackedAveragePool or PackedAdd => new(0, 0, Reads(input), 0),
        _ => default,
    };

    /// <summary>The work of a shortcut from a map of size <paramref name="from"/> to one of size <paramref name="output"/>.</summary>
    public static ModelWork Of(PackedShortcut? shortcut, MapSize from, MapSize output) => shortcut switch
    {
        AveragePoolShortcut { Projection: not null } => new(0, Pixels(output) * from.Channels * RoundUp(output.Channels, 16), Reads(from), 0),
        AveragePoolShortcut => new(0, 0, Reads(from), 0),
        ConcatenatedShortcut => new(0, 0, Reads(output), 0),
        _ => default,
    };

    /// <summary>The sum of both.</summary>
    public static ModelWork operator +(ModelWork a, ModelWork b) =>
        new(a.BinaryMacs + b.BinaryMacs, a.RealMacs + b.RealMacs, a.PoolTaps + b.PoolTaps, a.SignBytes + b.SignBytes);

    /// <summary>The first limit that this exceeds; null if there is none.</summary>
    public string? Problem =>
        Excess(BinaryMacs, PackedLimits.MaxBinaryMacs, "binary multiply-accumulates")
        ?? Excess(RealMacs, PackedLimits.MaxRealMacs, "real multiply-accumulates")
        ?? Excess(PoolTaps, PackedLimits.MaxPoolTaps, "pooled values")
        ?? Excess(SignBytes, PackedLimits.MaxSignBytes, "bytes of signs");

    private static string? Excess(double work, double limit, string unit) =>
        work > limit ? $"the layers up to this one need {work:0.#e0} {unit} for an image; the limit is {limit:0.#e0}" : null;

    /// <summary>Values of a map that is read once.</summary>
    private static double Reads(MapSize size) => Pixels(size) * RoundUp(size.Channels, 16);

    private static double Pixels(MapSize size) => (double)size.Height * size.Width;

    private static double Square(int side) => (double)side * side;

    private static double RoundUp(int count, int multiple) => Math.Ceiling((double)count / multiple) * multiple;
}
