using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>Constants of the packed file format; docs/packed-format.md specifies it.</summary>
internal static class PackedFormat
{
    /// <summary>The value of the metadata key <c>format</c>.</summary>
    public const string Name = "normfree.packed";

    /// <summary>The newest version that is read. A file is written in the oldest version that supports its model.</summary>
    public const int Version = 2;

    /// <summary>Every tensor starts at a multiple of this offset in the file: a cache line, and the widest vector.</summary>
    public const int Alignment = 64;

    /// <summary>Prefix of tensors that fill the file up to the alignment: <c>padding.0</c>, <c>padding.1</c> ….</summary>
    public const string Padding = "padding.";

    /// <summary>What to do about a damaged file.</summary>
    public const string Remedy = "Export the network again with this version of NormFree";

    /// <summary>Names of <see cref="PreprocessingKind"/>, in its order.</summary>
    public static readonly string[] PreprocessingKinds = ["cover", "resize", "centre-crop"];

    /// <summary>The oldest version that supports a model.</summary>
    /// <remarks>
    /// Version 1 has a stem of convolutions and max-pools, then binary layers with a shortcut of their input or its average pool, whose projection has
    /// binary weights, then the classifier.
    /// </remarks>
    public static int VersionOf(PackedModel model)
    {
        var body = model.Layers.SkipWhile(layer => layer is PackedConvolution { Groups: 1 } or PackedMaxPool);
        return body.SkipLast(1).All(layer => layer is PackedBinaryLayer binary && IsVersion1(binary.Shortcut)) ? 1 : 2;
    }

    private static bool IsVersion1(PackedShortcut shortcut) =>
        shortcut is IdentityShortcut or AveragePoolShortcut { Projection: null or BinaryProjection { Centered: false } };

    /// <summary>Checks that numbers have the same byte order in memory and in the file.</summary>
    /// <exception cref="PlatformNotSupportedException">The processor is big-endian.</exception>
    public static void RequireLittleEndian()
    {
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("Packed files need a little-endian processor.");
    }
}
