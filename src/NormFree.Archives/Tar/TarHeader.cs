using System.Buffers.Binary;

namespace NormFree.Archives.Tar;

/// <summary>The 512-byte header block of a tar entry (POSIX.1-1988, with GNU's sizes above 8 GiB).</summary>
internal readonly ref struct TarHeader(ReadOnlySpan<byte> block)
{
    /// <summary>The size of a block. Headers and contents start at multiples of it.</summary>
    public const int Bytes = 512;

    private const int ChecksumAt = 148, ChecksumBytes = 8;
    private readonly ReadOnlySpan<byte> block = block;

    /// <summary>Whether all bytes are zero. Two such blocks end an archive.</summary>
    public bool IsZero => !block.ContainsAnyExcept((byte)0);

    /// <summary>The type flag: <c>0</c> for a file, <c>5</c> for a folder, and so on.</summary>
    public char Type => (char)block[156];

    /// <summary>The name; ustar archives store its beginning in a separate field.</summary>
    public string Name => IsUstar && block[345] != 0 ? $"{Text(345, 155)}/{Text(0, 100)}" : Text(0, 100);

    /// <summary>The length of the content in bytes; negative if the field is invalid.</summary>
    public long Length => Number(124, 12);

    /// <summary>Whether the checksum matches. Some old programs summed signed bytes; that is accepted too.</summary>
    public bool IsValid
    {
        get
        {
            long stated = Number(ChecksumAt, ChecksumBytes), sum = 0, signed = 0;
            for (int i = 0; i < Bytes; i++)
            {
                byte value = i - ChecksumAt is >= 0 and < ChecksumBytes ? (byte)' ' : block[i];
                sum += value;
                signed += (sbyte)value;
            }
            return stated == sum || stated == signed;
        }
    }

    private bool IsUstar => block.Slice(257, 6).SequenceEqual("ustar\0"u8);

    private string Text(int at, int most)
    {
        var field = block.Slice(at, most);
        int end = field.IndexOf((byte)0);
        return EntryNames.Decode(end < 0 ? field : field[..end]);
    }

    /// <summary>Parses octal digits padded with spaces or NULs or, if the first bit is set, a big-endian number; negative if invalid.</summary>
    private long Number(int at, int bytes)
    {
        var field = block.Slice(at, bytes);
        if (field[0] >= 0x80)
            return field[0] == 0x80 && bytes > 8 && !field[1..^8].ContainsAnyExcept((byte)0) ? BinaryPrimitives.ReadInt64BigEndian(field[^8..]) : -1;

        long value = 0;
        foreach (byte digit in field.Trim(" \0"u8))
        {
            if (digit is < (byte)'0' or > (byte)'7') return -1;
            value = value * 8 + (digit - '0');
        }
        return value;
    }
}
