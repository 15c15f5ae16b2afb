using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.IO.Compression;
using System.Runtime.InteropServices;

namespace NormFree.Archives.Zip;

/// <summary>A zip archive in memory. Uncompressed entries are slices of the archive: nothing is copied or extracted. Others are decompressed.</summary>
/// <remarks>
/// Written by hand because System.IO.Compression (.NET 10) exposes no offsets of entries, so that each tensor would be copied, and accepts entries
/// that overlap, occur twice or have wrong checksums. Names such as <c>../x</c> are harmless: they are never used as paths.
/// </remarks>
internal sealed class StoredZip
{
    private const int LocalBytes = 30;
    private const int Stored = 0;
    private const int Deflated = 8;

    /// <summary>The limit for all decompressed entries is this plus a multiple of the size of the archive.</summary>
    private const long InflatedBase = 64 << 20;

    private const int InflatedMultiple = 16;
    private const int Encrypted = 1 | (1 << 6) | (1 << 13);
    private readonly ReadOnlyMemory<byte> archive;
    private readonly string file;
    private readonly Dictionary<string, StoredZipEntry> entries = new(StringComparer.Ordinal);

    /// <summary>The bytes that entries may still decompress to.</summary>
    private long inflatable;

    private StoredZip(ReadOnlyMemory<byte> archive, string file)
    {
        inflatable = Math.Min(Array.MaxLength, InflatedBase + ((long)InflatedMultiple * archive.Length));
        this.archive = archive;
        this.file = file;
        var directory = new ZipDirectory(archive, file);
        var read = directory.Read();
        foreach (var entry in read)
            if (!entries.TryAdd(entry.Name, entry))
                Fail(entry.Name, "it occurs twice in the archive", Remedy.WriteAgain);
        CheckOverlap(read, directory.Begin);
    }

    /// <summary>The names of the entries.</summary>
    public IEnumerable<string> Names => entries.Keys;

    /// <summary>Reads the directory of an archive.</summary>
    /// <param name="archive">The whole archive.</param>
    /// <param name="file">The name of the archive in errors.</param>
    /// <exception cref="InvalidFileException">It is not a zip archive, or entries overlap or occur twice.</exception>
    public static StoredZip Read(ReadOnlyMemory<byte> archive, string file) => new(archive, file);

    /// <summary>The content of an entry; null if there is none with this name.</summary>
    /// <remarks>A checksum of 0 means that there is none: <c>torch.save</c> writes it without <c>compute_crc32</c>.</remarks>
    /// <exception cref="InvalidFileException">It is encrypted, damaged, or compressed by another method than deflate.</exception>
    public ReadOnlyMemory<byte>? Find(string name)
    {
        if (!entries.TryGetValue(name, out var entry))
            return null;
        if ((entry.Flags & Encrypted) != 0)
            Fail(name, "it is encrypted", "Write the archive again without a password");
        if (entry.Method is not (Stored or Deflated))
            Fail(name, $"it is compressed by {MethodName(entry.Method)}, not by deflate", "Write the file again with torch.save, or zip it without compression");
        if (entry.Method == Stored && entry.Packed != entry.Size)
            Fail(name, $"it is not compressed, but has {entry.Packed} bytes in the archive and {entry.Size} outside", Remedy.DownloadAgain);
        var packed = archive.Slice((int)Content(entry), (int)entry.Packed);
        var content = entry.Method == Stored ? packed : Inflate(entry, packed);
        if (entry.Crc != 0 && Crc32.Of(content.Span) != entry.Crc)
            Fail(name, "its content does not match its checksum", "The file is damaged: download it again, or save it again");
        return content;
    }

    /// <summary>The compression methods of APPNOTE 4.4.5 that people use.</summary>
    private static string MethodName(int method) => method switch
    {
        9 => "Deflate64",
        12 => "bzip2",
        14 => "LZMA",
        93 => "Zstandard",
        95 => "xz",
        _ => $"method {method}",
    };

    /// <summary>Decompresses an entry. Memory grows with the content, and all entries together are limited, so that no claimed size is trusted.</summary>
    private ReadOnlyMemory<byte> Inflate(StoredZipEntry entry, ReadOnlyMemory<byte> packed)
    {
        if (entry.Size > inflatable)
            Fail(entry.Name, $"it would decompress to {entry.Size} bytes, too many for an archive of {archive.Length}", "Zip the file without compression");
        inflatable -= entry.Size;
        try
        {
            using var stream = new DeflateStream(StreamOf(packed), CompressionMode.Decompress);
            byte[] content = PlainFile.ReadAllBytes(stream, file, (int)entry.Size);
            if (content.Length == entry.Size)
                return content;
        }
        catch (Exception e) when (e is InvalidDataException or InvalidFileException)
        {
            // Reported below, as for a wrong size.
        }
        Fail(entry.Name, $"it does not decompress to its {entry.Size} bytes", Remedy.DownloadAgain);
        return default;
    }

    /// <summary>A stream of a part of the archive, which is a part of an array.</summary>
    private static MemoryStream StreamOf(ReadOnlyMemory<byte> bytes)
    {
        MemoryMarshal.TryGetArray(bytes, out var array);
        return new MemoryStream(array.Array!, array.Offset, array.Count, writable: false);
    }

    /// <summary>The offset of an entry's content. <see cref="CheckOverlap"/> has made sure that the local header is inside the archive.</summary>
    private long Content(StoredZipEntry entry)
    {
        var head = archive.Span.Slice((int)entry.Offset, LocalBytes);
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) != ZipSignature.LocalHeader)
            Fail(entry.Name, "its local header is not where the directory says", Remedy.DownloadAgain);
        long begin = entry.Offset + LocalBytes + BinaryPrimitives.ReadUInt16LittleEndian(head[26..]) + BinaryPrimitives.ReadUInt16LittleEndian(head[28..]);
        if (begin > archive.Length - entry.Packed)
            Fail(entry.Name, "it is outside the file", Remedy.DownloadAgain);
        return begin;
    }

    /// <summary>Rejects entries that share bytes: zip bombs use them to claim far more data than the archive holds.</summary>
    private void CheckOverlap(List<StoredZipEntry> read, long end)
    {
        read.Sort((a, b) => a.Offset.CompareTo(b.Offset));
        for (int i = 0; i < read.Count; i++)
        {
            long next = i + 1 < read.Count ? read[i + 1].Offset : end;
            if (read[i].Packed > next - read[i].Offset - LocalBytes)
                Fail(read[i].Name, "it overlaps the next entry of the archive", Remedy.DownloadAgain);
        }
    }

    [DoesNotReturn]
    private void Fail(string name, string what, string remedy) =>
        InvalidFileException.Throw(file, $"entry {Quoted.Name(name)}", what, remedy);
}

/// <summary>An entry as the directory of an archive describes it.</summary>
/// <param name="Name">Its name; never used as a path.</param>
/// <param name="Flags">The general purpose flags.</param>
/// <param name="Method">The compression method; 0 is uncompressed.</param>
/// <param name="Crc">The checksum of the content.</param>
/// <param name="Packed">The compressed size in bytes.</param>
/// <param name="Size">The uncompressed size in bytes.</param>
/// <param name="Offset">The offset of the local header.</param>
internal sealed record StoredZipEntry(string Name, int Flags, int Method, uint Crc, long Packed, long Size, long Offset);
