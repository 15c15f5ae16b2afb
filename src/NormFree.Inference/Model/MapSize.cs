namespace NormFree.Inference.Model;

/// <summary>The size of a feature map.</summary>
/// <param name="Height">Rows.</param>
/// <param name="Width">Columns.</param>
/// <param name="Channels">Values of a pixel.</param>
public readonly record struct MapSize(int Height, int Width, int Channels)
{
    /// <summary>Bytes of a pixel's signs if it has few channels: one word.</summary>
    private const int MinSignBytes = 8;

    /// <summary>The size after a layer of a model that <see cref="ModelChecks"/> accepts. For a <see cref="PackedAdd"/>, its shortcut is not checked.</summary>
    /// <exception cref="ArgumentException">The layer does not accept maps of this size.</exception>
    public MapSize After(PackedLayer layer) =>
        Problem(layer) is { } problem ? throw new ArgumentException(problem.What, nameof(layer)) : Output(layer);

    /// <inheritdoc/>
    public override string ToString() => $"{Channels}×{Height}×{Width}";

    /// <summary>Values of the map.</summary>
    internal long Values => (long)Height * Width * Channels;

    /// <summary>Bytes of a map's padded signs: at most one byte per channel and eight per pixel.</summary>
    internal long SignBytes(int padding) => PaddedValues(padding, 0, MinSignBytes);

    /// <summary>Why a layer with valid numbers does not accept maps of this size; null if it does.</summary>
    internal ModelProblem? Problem(PackedLayer layer)
    {
        if (InputLimit(layer) is { } excess)
            return ModelProblem.Limit(layer, excess);
        var output = Output(layer);
        if (InputChannels(layer) is { } channels && channels != Channels)
            return ModelProblem.Of(layer, $"it takes {channels} channels, but the layer before it produces {Channels}");
        if (output.Height < 1 || output.Width < 1)
            return ModelProblem.Of(layer, $"its kernel is larger than the padded map of {this}");
        if (OutputLimit(layer, output) is { } excessive)
            return ModelProblem.Limit(layer, excessive);
        return layer is PackedBinaryLayer binary && Shortcut(binary) is var added && (added.Height, added.Width) != (output.Height, output.Width)
            ? ModelProblem.Of(layer, $"its convolution maps {this} to {output}, but its shortcut maps it to {added}")
            : null;
    }

    /// <summary>Why the input of an earlier layer cannot be the shortcut of a sum with a map of this size; null if it can.</summary>
    internal ModelProblem? Problem(PackedAdd layer, MapSize earlier)
    {
        if (layer.Pooled is { Projection: not null } && ProjectionTables(earlier.Channels, Width) > PackedLimits.MaxMapValues)
            return ModelProblem.Limit(layer, $"a row of {Width} pixels is too wide for its projection of {earlier.Channels} channels");
        return Shortcut(layer, earlier) is var added && added != this
            ? ModelProblem.Of(layer, $"its input is {this}, but its shortcut maps {earlier} to {added}")
            : null;
    }

    private MapSize Shortcut(PackedAdd layer, MapSize earlier) => layer.Pooled switch
    {
        { } pooled => new(earlier.Height / pooled.Kernel, earlier.Width / pooled.Kernel, pooled.Projection is null ? earlier.Channels : Channels),
        _ => earlier with { Channels = Channels % earlier.Channels == 0 ? Channels : earlier.Channels },
    };

    /// <summary>Why a layer cannot work on so large a map. If it can, no 32-bit size overflows.</summary>
    private string? InputLimit(PackedLayer layer)
    {
        if (Height is < 1 or > PackedLimits.MaxSide || Width is < 1 or > PackedLimits.MaxSide || Channels is < 1 or > PackedLimits.MaxChannels)
            return $"it does not accept a map of {this}: sides must be from 1 to {PackedLimits.MaxSide}, channels from 1 to {PackedLimits.MaxChannels}";
        var (stride, padding) = layer switch
        {
            PackedConvolution real => (real.Stride, real.Padding),
            PackedBinaryLayer binary => (binary.Stride, binary.Padding),
            PackedMaxPool pool => (pool.Stride, pool.Padding),
            _ => (0, 0),
        };
        return PaddedValues(padding, 5 * stride, layer is PackedBinaryLayer ? MinSignBytes : 1) is var padded && padded > PackedLimits.MaxMapValues
            ? $"a map of {this} is too large for it: with padding and stride it has {padded} values; the limit is {PackedLimits.MaxMapValues}"
            : null;
    }

    /// <summary>Bounds the buffers of a layer's input. The windows of real convolutions extend up to five strides past the last column.</summary>
    private long PaddedValues(int padding, int extraColumns, int minChannels) =>
        ((long)Height + 2 * padding) * ((long)Width + 2 * padding + extraColumns) * Math.Max(Channels, minChannels);

    private string? OutputLimit(PackedLayer layer, MapSize output)
    {
        if (output.Height > PackedLimits.MaxSide || output.Width > PackedLimits.MaxSide)
            return $"it maps {this} to {output}; the limit of a side is {PackedLimits.MaxSide}";
        if (output.Channels > PackedLimits.MaxChannels)
            return $"it maps {this} to {output}; the limit of channels is {PackedLimits.MaxChannels}";
        if (output.Values > PackedLimits.MaxMapValues)
            return $"it maps {this} to {output}, which has {output.Values} values; the limit is {PackedLimits.MaxMapValues}";
        return layer is PackedBinaryLayer { Shortcut: AveragePoolShortcut { Projection: not null } }
            && ProjectionTables(Channels, output.Width) > PackedLimits.MaxMapValues
            ? $"a row of {output.Width} pixels is too wide for its projection of {Channels} channels"
            : null;
    }

    /// <summary>Floats of the lookup tables for one row of a projection: 128 per 32 channels and pixel.</summary>
    private static long ProjectionTables(int channels, int width) => (channels + 31) / 32 * 128L * width;

    /// <summary>The channels that a layer takes; null if it takes any number.</summary>
    internal static int? InputChannels(PackedLayer layer) => layer switch
    {
        PackedConvolution real => real.In,
        PackedBinaryLayer binary => binary.In,
        PackedAffine affine => affine.Channels,
        PackedClassifier classifier => classifier.In,
        _ => null,
    };

    /// <summary>The size of a binary layer's shortcut branch; its channels are not compared.</summary>
    private MapSize Shortcut(PackedBinaryLayer layer) => layer.Shortcut switch
    {
        AveragePoolShortcut pooled => new(Height / pooled.Kernel, Width / pooled.Kernel, layer.Out),
        NoShortcut => Output(layer),
        _ => this with { Channels = layer.Out },
    };

    private MapSize Output(PackedLayer layer) => layer switch
    {
        PackedConvolution real => Window(real.Kernel, real.Stride, real.Padding, real.Out),
        PackedBinaryLayer binary => Window(binary.Kernel, binary.Stride, binary.Padding, binary.OutputChannels),
        PackedMaxPool pool => Window(pool.Kernel, pool.Stride, pool.Padding, Channels),
        PackedAveragePool pool => new(Height / pool.Kernel, Width / pool.Kernel, Channels),
        PackedFlatten => new(1, 1, (int)Values),
        PackedAffine or PackedAdd => this,
        PackedClassifier classifier => new(1, 1, classifier.Classes),
        _ => throw new ArgumentException($"Unknown layer kind {layer.GetType().Name}.", nameof(layer)),
    };

    private MapSize Window(int kernel, int stride, int padding, int channels) =>
        new(Side(Height, kernel, stride, padding), Side(Width, kernel, stride, padding), channels);

    /// <summary>0 if the kernel does not fit; integer division would round a negative quotient up to 0.</summary>
    private static int Side(int side, int kernel, int stride, int padding) =>
        side + 2 * padding < kernel ? 0 : (side + 2 * padding - kernel) / stride + 1;
}
