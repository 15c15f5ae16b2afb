using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>The words of the format; docs/packed-format.md describes it.</summary>
internal static class PackedFormat
{
    /// <summary>What the metadata's <c>format</c> says.</summary>
    public const string Name = "normfree.packed";

    /// <summary>The newest version that is read. Files are written in the oldest one that has all that they need.</summary>
    public const int Version = 2;

    /// <summary>The version in which a shortcut's <c>projection</c> is a word; in the first one it is a truth value.</summary>
    public const int KindsOfProjections = 2;

    /// <summary>Every tensor begins at a multiple of so many bytes of the file: a line of a processor's cache, and its widest vector.</summary>
    public const int Alignment = 64;

    /// <summary>Tensors that only fill the file up to the next such multiple: <c>padding.0</c>, <c>padding.1</c> ….</summary>
    public const string Padding = "padding.";

    /// <summary>Kinds of layers and shortcuts, as the model's JSON has them.</summary>
    public const string Convolution = "convolution", MaxPool = "max-pool", Binary = "binary", Classifier = "classifier",
        Input = "input", PooledInput = "pooled-input";

    /// <summary>Kinds of projections.</summary>
    public const string NoProjection = "none", BinaryFilters = "binary", ZeroMeanFilters = "zero-mean", RealFilters = "real";

    /// <summary>Kinds of steps of the preparation.</summary>
    public const string Cover = "cover", Resize = "resize", CentreCrop = "centre-crop";

    /// <summary>The oldest version that has all that a model needs.</summary>
    public static int VersionFor(PackedModel model)
    {
        var projections = model.Layers.OfType<BinaryLayer>().Select(layer => (layer.Shortcut as PooledInput)?.Projection);
        return projections.Any(projection => projection is RealProjection or BinaryProjection { Centered: true }) ? KindsOfProjections : 1;
    }

    /// <summary>What to do about a file that does not hold what it should.</summary>
    public const string WayOut = "Export the network again with this version of NormFree";

    /// <summary>Asked before anything is read or written: numbers lie in memory as they do in the file.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor has their highest byte first.</exception>
    public static void RequireLittleEndian()
    {
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("Packed files need a processor that has the lowest byte of a number first.");
    }
}
