using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace NormFree.Archives.Zip;

/// <summary>A zip archive of unpacked files, in memory. Its files are parts of the archive's bytes: nothing is copied, unpacked or written
/// anywhere, so it can be no larger than it is, and names such as <c>../x</c> are names.</summary>
internal sealed class StoredZip
{
    private const int LocalBytes = 30;
    private const int Encrypted = 1 | (1 << 6) | (1 << 13);
    private readonly ReadOnlyMemory<byte> archive;
    private readonly string file;
    private readonly Dictionary<string, StoredZipEntry> entries = new(StringComparer.Ordinal);

    private StoredZip(ReadOnlyMemory<byte> archive, string file)
    {
        this.archive = archive;
        this.file = file;
        var directory = new ZipDirectory(archive, file);
        var read = directory.Read();
        foreach (var entry in read)
            if (!entries.TryAdd(entry.Name, entry))
                Fail(entry.Name, "it is in the archive twice", WayOut.WriteAgain);
        CheckApart(read, directory.Begin);
    }

    /// <summary>The names of the files.</summary>
    public IEnumerable<string> Names => entries.Keys;

    /// <summary>Reads an archive's directory.</summary>
    /// <param name="archive">The whole archive.</param>
    /// <param name="file">The name that errors give to it.</param>
    /// <exception cref="InvalidFileException">It is no zip archive, or its files overlap.</exception>
    public static StoredZip Read(ReadOnlyMemory<byte> archive, string file) => new(archive, file);

    /// <summary>The content of a file; null where there is none of that name.</summary>
    /// <exception cref="InvalidFileException">It is packed, encrypted or damaged.</exception>
    public ReadOnlyMemory<byte>? Find(string name)
    {
        if (!entries.TryGetValue(name, out var entry))
            return null;
        if ((entry.Flags & Encrypted) != 0)
            Fail(name, "it is encrypted", "Write the archive again without a password");
        if (entry.Method != 0 || entry.Packed != entry.Size)
            Fail(name, "it is compressed, which PyTorch's own files never are", "Write the file again with torch.save, or zip it with compression off");
        var content = archive.Slice((int)Content(entry), (int)entry.Size);
        if (Crc32.Of(content.Span) != entry.Crc)
            Fail(name, "its checksum does not fit its content", "It is damaged, or was saved without checksums: fetch it again, or save it again with them");
        return content;
    }

    private long Content(StoredZipEntry entry)
    {
        if (entry.Offset > archive.Length - LocalBytes)
            Fail(entry.Name, "it lies outside of the file", WayOut.FetchAgain);
        var head = archive.Span.Slice((int)entry.Offset, LocalBytes);
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) != ZipSignature.LocalHeader)
            Fail(entry.Name, "it does not begin where the directory says", WayOut.FetchAgain);
        long begin = entry.Offset + LocalBytes + BinaryPrimitives.ReadUInt16LittleEndian(head[26..]) + BinaryPrimitives.ReadUInt16LittleEndian(head[28..]);
        if (begin > archive.Length - entry.Size)
            Fail(entry.Name, "it lies outside of the file", WayOut.FetchAgain);
        return begin;
    }

    /// <summary>Files that share bytes are how an archive claims to hold far more than it does.</summary>
    private void CheckApart(List<StoredZipEntry> read, long end)
    {
        read.Sort((a, b) => a.Offset.CompareTo(b.Offset));
        for (int i = 0; i < read.Count; i++)
        {
            long next = i + 1 < read.Count ? read[i + 1].Offset : end;
            if (read[i].Packed > next - read[i].Offset - LocalBytes)
                Fail(read[i].Name, "it overlaps what follows it in the archive", WayOut.FetchAgain);
        }
    }

    [DoesNotReturn]
    private void Fail(string name, string what, string wayOut) =>
        InvalidFileException.Throw(file, $"its part {Quoted.Name(name)}", what, wayOut);
}
