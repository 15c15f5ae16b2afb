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
        if (Oversize(layer) is { } oversize)
            return oversize;
        var result = Slid(layer);
        if (Inputs(layer) is { } inputs && inputs != Channels)
            return $"it takes {inputs} channels, and the layer before it gives {Channels}";
        if (result.Height < 1 || result.Width < 1)
            return $"its kernel does not fit into a map of {this}";
        if (result.Height > LayerChecks.LargestSide || result.Width > LayerChecks.LargestSide)
            return $"it makes {result} of a map of {this}: no side may pass {LayerChecks.LargestSide}";
        if (result.Values > LayerChecks.LargestMap)
            return $"it makes {result} of a map of {this}: no map may have more than {LayerChecks.LargestMap} values";
        if (TableRow(layer, result) > LayerChecks.LargestMap)
            return $"a row of {result.Width} pixels is too wide for its projection of {Channels} channels";
        return layer is BinaryLayer binary && Added(binary) is var added && (added.Height, added.Width) != (result.Height, result.Width)
            ? $"its convolution makes {result} of a map of {this}, where its shortcut makes {added}"
            : null;
    }

    /// <summary>Values of a map whose sides are in bounds.</summary>
    private long Values => (long)Height * Width * Channels;

    /// <summary>Why no layer, or not this one, can work on so large a map; null where it can. Sizes in 32 bits do not overflow where it does.</summary>
    private string? Oversize(PackedLayer layer)
    {
        if (Height is < 1 or > LayerChecks.LargestSide || Width is < 1 or > LayerChecks.LargestSide || Channels is < 1 or > LayerChecks.Largest)
            return $"it takes no map of {this}: its sides must be from 1 to {LayerChecks.LargestSide}, its channels up to {LayerChecks.Largest}";
        var (stride, padding) = layer switch
        {
            RealConvolution real => (real.Stride, real.Padding),
            BinaryLayer binary => (binary.Stride, binary.Padding),
            MaxPool pool => (pool.Stride, pool.Padding),
            _ => (0, 0),
        };
        // A border lies around maps of signs, whose pixels take up to eight bytes or a byte a channel, and around windows of real numbers, which reach
        // over the last column by up to five strides.
        var bordered = ((long)Height + 2 * padding) * ((long)Width + 2 * padding + 5 * stride) * Math.Max(Channels, 8);
        return bordered > LayerChecks.LargestMap
            ? $"a map of {this} is too large for it: with a border for its padding and stride it must have at most {LayerChecks.LargestMap} values"
            : null;
    }

    /// <summary>Floats of a row's tables, by which a projection is computed: sixteen for four channels, 32 channels at a time; 0 without one.</summary>
    private static long TableRow(PackedLayer layer, MapSize result) =>
        layer is BinaryLayer { Shortcut: PooledInput { Projection: not null } } binary ? (binary.In + 31) / 32 * 128L * result.Width : 0;

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
