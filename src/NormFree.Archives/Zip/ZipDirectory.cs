using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace NormFree.Archives.Zip;

/// <summary>Reads the directory at the end of a zip archive.</summary>
/// <remarks>Follows PKWARE's APPNOTE 6.3.10, sections 4.3.12 to 4.3.16, for archives on one disk, with or without zip64.</remarks>
internal sealed class ZipDirectory(ReadOnlyMemory<byte> archive, string file)
{
    private const int EndBytes = 22;
    private const int LocatorBytes = 20;
    private const int End64Bytes = 56;
    private const int EntryBytes = 46;
    private const ushort Zip64Extra = 1;

    /// <summary>The offset of the directory, which is the end of the entries.</summary>
    public long Begin { get; private set; }

    /// <summary>Reads the entries in the order of the directory.</summary>
    public List<StoredZipEntry> Read()
    {
        var (begin, size, count) = Locate();
        if (begin < 0 || size < 0 || begin > archive.Length || size > archive.Length - begin)
            Fail(begin, "the directory of the archive is outside the file");
        if (count < 0 || count > size / EntryBytes)
            Fail(begin, $"the directory of the archive claims {count} entries in {size} bytes");
        Begin = begin;
        var entries = new List<StoredZipEntry>((int)count);
        long at = begin;
        for (long i = 0; i < count; i++)
            entries.Add(Entry(ref at, begin + size));
        return entries;
    }

    private (long Begin, long Size, long Count) Locate()
    {
        int at = FindEnd();
        var end = Part(at, EndBytes);
        if (at >= LocatorBytes && Number32(Part(at - LocatorBytes, 4), 0) == ZipSignature.End64Locator)
            return Locate64(at);
        if (Number16(end, 4) != 0 || Number16(end, 6) != 0)
            Fail(at, "the archive spans several disks");
        return (Number32(end, 16), Number32(end, 12), Number16(end, 10));
    }

    private (long Begin, long Size, long Count) Locate64(int end)
    {
        long at = Number64(Part(end - LocatorBytes, LocatorBytes), 8);
        var end64 = Part(at, End64Bytes);
        if (Number32(end64, 0) != ZipSignature.End64)
            Fail(at, "the zip64 end record is not where the locator says");
        if (Number32(end64, 16) != 0 || Number32(end64, 20) != 0)
            Fail(at, "the archive spans several disks");
        return (Number64(end64, 48), Number64(end64, 40), Number64(end64, 32));
    }

    /// <summary>Finds the last end record whose comment fills the rest of the file, or else the last one: other bytes may follow the archive.</summary>
    private int FindEnd()
    {
        var bytes = archive.Span;
        int lowest = Math.Max(0, bytes.Length - EndBytes - ushort.MaxValue), last = -1;
        for (int at = bytes.Length - EndBytes; at >= lowest; at--)
        {
            if (Number32(bytes, at) != ZipSignature.End)
                continue;
            int rest = bytes.Length - at - EndBytes, comment = Number16(bytes, at + 20);
            if (comment == rest)
                return at;
            if (last < 0 && comment < rest)
                last = at;
        }
        if (last < 0)
            Fail(bytes.Length, "the archive has no directory");
        return last;
    }

    private StoredZipEntry Entry(ref long at, long end)
    {
        var head = Part(at, EntryBytes);
        int name = Number16(head, 28), extra = Number16(head, 30), comment = Number16(head, 32);
        if (Number32(head, 0) != ZipSignature.DirectoryEntry || at + EntryBytes + name + extra + comment > end)
            Fail(at, "the directory of the archive is damaged");
        long packed = Number32(head, 20), size = Number32(head, 24), offset = Number32(head, 42);
        Widen(Part(at + EntryBytes + name, extra), ref size, ref packed, ref offset);
        var entry = new StoredZipEntry(
            Encoding.UTF8.GetString(Part(at + EntryBytes, name)), Number16(head, 8), Number16(head, 10), Number32(head, 16), packed, size, offset);
        if (packed < 0 || size < 0 || offset < 0 || offset > Begin || packed > Begin - offset)
            Fail(at, $"{Quoted.Name(entry.Name)} is outside the file");
        at += EntryBytes + name + extra + comment;
        return entry;
    }

    /// <summary>Replaces 32-bit numbers that are all ones by the 64-bit numbers of the zip64 extra field, in this order.</summary>
    private static void Widen(ReadOnlySpan<byte> extra, ref long size, ref long packed, ref long offset)
    {
        while (extra.Length >= 4)
        {
            int kind = Number16(extra, 0), length = Number16(extra, 2);
            if (length > extra.Length - 4)
                return;
            if (kind == Zip64Extra)
            {
                var wide = extra.Slice(4, length);
                Take(ref wide, ref size);
                Take(ref wide, ref packed);
                Take(ref wide, ref offset);
                return;
            }
            extra = extra[(4 + length)..];
        }

        static void Take(ref ReadOnlySpan<byte> wide, ref long number)
        {
            if (number != uint.MaxValue || wide.Length < 8)
                return;
            number = Number64(wide, 0);
            wide = wide[8..];
        }
    }

    private ReadOnlySpan<byte> Part(long at, int count)
    {
        if (at < 0 || at > archive.Length - count)
            Fail(at, "the archive ends too early");
        return archive.Span.Slice((int)at, count);
    }

    private static ushort Number16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint Number32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);

    /// <summary>Numbers above 2^63 become negative; every check rejects those.</summary>
    private static long Number64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadInt64LittleEndian(bytes[at..]);

    [DoesNotReturn]
    private void Fail(long at, string what) =>
        InvalidFileException.Throw(file, at < 0 ? "directory" : $"byte {at}", what, Remedy.DownloadAgain);
}

/// <summary>The signatures that start the parts of a zip archive.</summary>
internal static class ZipSignature
{
    public const uint LocalHeader = 0x04034b50;
    public const uint DirectoryEntry = 0x02014b50;
    public const uint End = 0x06054b50;
    public const uint End64 = 0x06064b50;
    public const uint End64Locator = 0x07064b50;
}
