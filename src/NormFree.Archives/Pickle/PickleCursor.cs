using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace NormFree.Archives.Pickle;

/// <summary>Reads the bytes of a pickle. Each count is checked against the remaining bytes before it is used.</summary>
internal sealed class PickleCursor(ReadOnlyMemory<byte> bytes, string file)
{
    /// <summary>The offset of the current opcode, for errors.</summary>
    private int start;

    /// <summary>How many bytes were read.</summary>
    public int Position { get; private set; }

    /// <summary>How many bytes remain.</summary>
    public int Remaining => bytes.Length - Position;

    /// <summary>Reads the next opcode.</summary>
    public PickleOpcode Opcode()
    {
        start = Position;
        return (PickleOpcode)Byte();
    }

    /// <summary>Reads one byte.</summary>
    public byte Byte() => Take(1).Span[0];

    /// <summary>Reads a 16-bit number.</summary>
    public int UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(2).Span);

    /// <summary>Reads a signed 32-bit number.</summary>
    public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(4).Span);

    /// <summary>Reads an unsigned 32-bit number.</summary>
    public long UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4).Span);

    /// <summary>Reads a 64-bit length, clamped to the range of long; <see cref="Take"/> rejects excessive lengths.</summary>
    public long UInt64() => (long)Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(Take(8).Span), long.MaxValue);

    /// <summary>Reads a float64, the only big-endian number in pickles.</summary>
    public double Double() => BinaryPrimitives.ReadDoubleBigEndian(Take(8).Span);

    /// <summary>Takes the next bytes without copying them.</summary>
    public ReadOnlyMemory<byte> Take(long count)
    {
        if (count < 0 || count > Remaining)
            Fail($"{count} bytes are claimed, but {Remaining} remain", Remedy.DownloadAgain);
        var taken = bytes.Slice(Position, (int)count);
        Position += (int)count;
        return taken;
    }

    /// <summary>Takes the bytes up to the next line feed and skips it.</summary>
    public ReadOnlySpan<byte> Line()
    {
        int length = bytes.Span[Position..].IndexOf((byte)'\n');
        if (length < 0)
            Fail("a line has no end", Remedy.DownloadAgain);
        var line = bytes.Span.Slice(Position, length);
        Position += length + 1;
        return line;
    }

    /// <summary>Throws an error at the current opcode.</summary>
    [DoesNotReturn]
    public void Fail(string what, string remedy) => InvalidFileException.Throw(file, $"byte {start}", what, remedy);
}
