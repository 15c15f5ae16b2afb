namespace NormFree.Archives.Zip;

/// <summary>The four bytes that begin each part of a zip archive, as little-endian numbers.</summary>
internal static class ZipSignature
{
    public const uint LocalHeader = 0x04034b50;
    public const uint DirectoryEntry = 0x02014b50;
    public const uint End = 0x06054b50;
    public const uint End64 = 0x06064b50;
    public const uint End64Locator = 0x07064b50;
}
