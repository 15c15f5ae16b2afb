using System.Buffers.Binary;
using System.Text;

namespace NormFree.Archives.Zip;

/// <summary>Writes a zip archive of uncompressed entries whose contents start at multiples of 64 bytes, as PyTorch does.</summary>
/// <remarks>System.IO.Compression cannot align contents. The same entries give the same bytes: all dates are the format's earliest one.</remarks>
internal sealed class StoredZipWriter(Stream stream)
{
    private const int Alignment = 64;
    private const int LocalBytes = 30;
    private const int EntryBytes = 46;
    private const int EndBytes = 22;
    private const ushort Version = 20;
    private const ushort Utf8Names = 1 << 11;
    private const ushort FirstDate = (1 << 5) | 1;

    /// <summary>The extra field that PyTorch uses for padding.</summary>
    private const ushort PaddingExtra = 0x4246;

    private readonly List<byte[]> directory = [];
    private long position;

    /// <summary>Adds an entry.</summary>
    /// <exception cref="InvalidOperationException">The archive exceeds 4 GiB or 65535 entries, which would need zip64.</exception>
    public void Add(string name, ReadOnlySpan<byte> content)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(name);
        int padding = Padding(position + LocalBytes + utf8.Length + 4);
        if (position + LocalBytes + utf8.Length + 4 + padding + content.Length > uint.MaxValue || directory.Count == ushort.MaxValue)
            throw new InvalidOperationException("The archive exceeds 4 GiB or 65535 entries: write safetensors instead.");
        uint crc = Crc32.Of(content);
        directory.Add(Entry(utf8, crc, content.Length));
        Write(Local(utf8, crc, content.Length, padding));
        Write(content);
    }

    /// <summary>Writes the directory. No entry can be added afterwards.</summary>
    public void Finish()
    {
        long begin = position;
        foreach (byte[] entry in directory)
            Write(entry);
        byte[] end = new byte[EndBytes];
        Put32(end, 0, ZipSignature.End);
        Put16(end, 8, (ushort)directory.Count);
        Put16(end, 10, (ushort)directory.Count);
        Put32(end, 12, checked((uint)(position - begin)));
        Put32(end, 16, checked((uint)begin));
        Write(end);
    }

    private static byte[] Local(byte[] name, uint crc, int size, int padding)
    {
        byte[] head = new byte[LocalBytes + name.Length + 4 + padding];
        Put32(head, 0, ZipSignature.LocalHeader);
        Common(head.AsSpan(4), crc, size, name.Length);
        Put16(head, 28, (ushort)(4 + padding));
        name.CopyTo(head, LocalBytes);
        Put16(head, LocalBytes + name.Length, PaddingExtra);
        Put16(head, LocalBytes + name.Length + 2, (ushort)padding);
        return head;
    }

    private byte[] Entry(byte[] name, uint crc, int size)
    {
        byte[] head = new byte[EntryBytes + name.Length];
        Put32(head, 0, ZipSignature.DirectoryEntry);
        Put16(head, 4, Version);
        Common(head.AsSpan(6), crc, size, name.Length);
        Put32(head, 42, (uint)position);
        name.CopyTo(head, EntryBytes);
        return head;
    }

    /// <summary>Writes the fields that local header and directory share, from the version to the length of the name.</summary>
    private static void Common(Span<byte> head, uint crc, int size, int nameLength)
    {
        Put16(head, 0, Version);
        Put16(head, 2, Utf8Names);
        Put16(head, 8, FirstDate);
        Put32(head, 10, crc);
        Put32(head, 14, (uint)size);
        Put32(head, 18, (uint)size);
        Put16(head, 22, (ushort)nameLength);
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        stream.Write(bytes);
        position += bytes.Length;
    }

    private static int Padding(long at) => (int)((Alignment - (at % Alignment)) % Alignment);

    private static void Put16(Span<byte> bytes, int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(bytes[at..], value);

    private static void Put32(Span<byte> bytes, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(bytes[at..], value);
}
