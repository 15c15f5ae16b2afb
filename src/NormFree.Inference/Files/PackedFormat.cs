using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>Constants of the packed file format; docs/packed-format.md specifies it.</summary>
internal static class PackedFormat
{
    /// <summary>The value of the metadata key <c>format</c>.</summary>
    public const string Name = "normfree.packed";

    /// <summary>The version that is written, and the newest that is read.</summary>
    public const int Version = 1;

    /// <summary>Every tensor starts at a multiple of this offset in the file: a cache line, and the widest vector.</summary>
    public const int Alignment = 64;

    /// <summary>Prefix of tensors that fill the file up to the alignment: <c>padding.0</c>, <c>padding.1</c> ….</summary>
    public const string Padding = "padding.";

    /// <summary>What to do about a damaged file.</summary>
    public const string Remedy = "Export the network again with this version of NormFree";

    /// <summary>Names of <see cref="PreprocessingKind"/>, in its order.</summary>
    public static readonly string[] PreprocessingKinds = ["cover", "resize", "centre-crop"];

    /// <summary>Checks that numbers have the same byte order in memory and in the file.</summary>
    /// <exception cref="PlatformNotSupportedException">The processor is big-endian.</exception>
    public static void RequireLittleEndian()
    {
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("Packed files need a little-endian processor.");
    }
}
