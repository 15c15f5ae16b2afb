namespace NormFree.Archives.Zip;

/// <summary>A file of an archive, as the archive's directory describes it.</summary>
/// <param name="Name">Its name in the archive; never used as a path.</param>
/// <param name="Flags">The general purpose bits.</param>
/// <param name="Method">How it is packed; 0 is not at all.</param>
/// <param name="Crc">The checksum of its content.</param>
/// <param name="Packed">Its bytes in the archive.</param>
/// <param name="Size">Its bytes as a file.</param>
/// <param name="Offset">Where its local header begins.</param>
internal sealed record StoredZipEntry(string Name, int Flags, int Method, uint Crc, long Packed, long Size, long Offset);
