namespace NormFree.Inference.Model;

/// <summary>How large a map between two layers is.</summary>
/// <param name="Height">Rows of pixels.</param>
/// <param name="Width">Pixels of a row.</param>
/// <param name="Channels">Values of a pixel.</param>
public readonly record struct MapSize(int Height, int Width, int Channels)
{
    /// <summary>The size after a layer, of a model that <see cref="ModelChecks"/> has found right.</summary>
    /// <exception cref="ArgumentException">The layer cannot take maps of this size.</exception>
    public MapSize After(PackedLayer layer) =>
        Problem(layer) is { } problem ? throw new ArgumentException(problem, nameof(layer)) : Slid(layer);

    /// <inheritdoc/>
    public override string ToString() => $"{Channels}×{Height}×{Width}";

    /// <summary>Why a layer whose numbers are right cannot take maps of this size; null where it can.</summary>
    internal string? Problem(PackedLayer layer)
    {
        var result = Slid(layer);
        if (Inputs(layer) is { } inputs && inputs != Channels)
            return $"it takes {inputs} channels, and the layer before it gives {Channels}";
        if (result.Height < 1 || result.Width < 1)
            return $"its kernel does not fit into a map of {this}";
        if (result.Height > LayerChecks.LargestSide || result.Width > LayerChecks.LargestSide)
            return $"it makes {result} of a map of {this}: no side may pass {LayerChecks.LargestSide}";
        return layer is BinaryLayer binary && Added(binary) is var added && (added.Height, added.Width) != (result.Height, result.Width)
            ? $"its convolution makes {result} of a map of {this}, where its shortcut makes {added}"
            : null;
    }

    private static int? Inputs(PackedLayer layer) => layer switch
    {
        RealConvolution real => real.In,
        BinaryLayer binary => binary.In,
        Classifier classifier => classifier.In,
        _ => null,
    };

    /// <summary>What a binary layer's shortcut makes of the map.</summary>
    private MapSize Added(BinaryLayer layer) => layer.Shortcut switch
    {
        PooledInput pooled => new(Height / pooled.Kernel, Width / pooled.Kernel, layer.Out),
        _ => this with { Channels = layer.Out },
    };

    private MapSize Slid(PackedLayer layer) => layer switch
    {
        RealConvolution real => Slid(real.Kernel, real.Stride, real.Padding, real.Out),
        BinaryLayer binary => Slid(binary.Kernel, binary.Stride, binary.Padding, binary.Out),
        MaxPool pool => Slid(pool.Kernel, pool.Stride, pool.Padding, Channels),
        Classifier classifier => new(1, 1, classifier.Classes),
        _ => throw new ArgumentException($"There is no layer of kind {layer.GetType().Name}.", nameof(layer)),
    };

    private MapSize Slid(int kernel, int stride, int padding, int channels) =>
        new(Side(Height, kernel, stride, padding), Side(Width, kernel, stride, padding), channels);

    /// <summary>0 where the kernel does not fit; a division would round towards it from below.</summary>
    private static int Side(int side, int kernel, int stride, int padding) =>
        side + 2 * padding < kernel ? 0 : (side + 2 * padding - kernel) / stride + 1;
}
