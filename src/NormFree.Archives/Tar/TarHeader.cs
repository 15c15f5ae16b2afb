using System.Buffers.Binary;
using System.Text;

namespace NormFree.Archives.Tar;

/// <summary>The block of 512 bytes before each part of a tar archive (POSIX.1-1988, and GNU's sizes past 8 GiB).</summary>
internal readonly ref struct TarHeader(ReadOnlySpan<byte> block)
{
    /// <summary>Bytes of a block; everything in an archive begins at a multiple of it.</summary>
    public const int Bytes = 512;

    private const int ChecksumAt = 148, ChecksumBytes = 8;
    private readonly ReadOnlySpan<byte> block = block;

    /// <summary>Two such blocks end an archive.</summary>
    public bool IsZero => !block.ContainsAnyExcept((byte)0);

    /// <summary>What follows: <c>0</c> a file, <c>5</c> a folder, and so on.</summary>
    public char Type => (char)block[156];

    /// <summary>The name; ustar archives keep its begin in a field of its own.</summary>
    public string Name => IsUstar && block[345] != 0 ? $"{Text(345, 155)}/{Text(0, 100)}" : Text(0, 100);

    /// <summary>Bytes of content; negative where the field makes no sense.</summary>
    public long Length => Number(124, 12);

    /// <summary>Whether the block's sum is the one that it states: of its bytes, or of its bytes with signs, as some old programs wrote it.</summary>
    public bool IsSound
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
        return Encoding.UTF8.GetString(end < 0 ? field : field[..end]);
    }

    /// <summary>Octal digits among blanks and zeros; or, where the first bit is set, a big-endian number.</summary>
    private long Number(int at, int bytes)
    {
        var field = block.Slice(at, bytes);
        if (field[0] >= 0x80)
            return field[0] == 0x80 && !field[1..^8].ContainsAnyExcept((byte)0) ? BinaryPrimitives.ReadInt64BigEndian(field[^8..]) : -1;

        long value = 0;
        foreach (byte digit in field.Trim(" \0"u8))
        {
            if (digit is < (byte)'0' or > (byte)'7') return -1;
            value = value * 8 + (digit - '0');
        }
        return value;
    }
}
