using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace NormFree.Archives.Pickle;

/// <summary>A place in a pickle's bytes. Every count is held against the bytes that are left before anything is made of it.</summary>
internal sealed class PickleCursor(ReadOnlyMemory<byte> bytes, string file)
{
    /// <summary>Where the opcode that is being read began; errors name it.</summary>
    private int start;

    /// <summary>How many bytes have been read.</summary>
    public int Position { get; private set; }

    /// <summary>How many bytes are left.</summary>
    public int Left => bytes.Length - Position;

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

    /// <summary>Reads a 64-bit length; one past what a file can hold fails later, in <see cref="Take"/>.</summary>
    public long UInt64() => (long)Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(Take(8).Span), long.MaxValue);

    /// <summary>Reads a big-endian double: the one number that pickles write this way round.</summary>
    public double Double() => BinaryPrimitives.ReadDoubleBigEndian(Take(8).Span);

    /// <summary>The next bytes, without a copy.</summary>
    public ReadOnlyMemory<byte> Take(long count)
    {
        if (count < 0 || count > Left)
            Fail($"{count} bytes are announced and {Left} are left", WayOut.FetchAgain);
        var taken = bytes.Slice(Position, (int)count);
        Position += (int)count;
        return taken;
    }

    /// <summary>The bytes up to the next line feed, which is skipped.</summary>
    public ReadOnlySpan<byte> Line()
    {
        int length = bytes.Span[Position..].IndexOf((byte)'\n');
        if (length < 0)
            Fail("a line does not end", WayOut.FetchAgain);
        var line = bytes.Span.Slice(Position, length);
        Position += length + 1;
        return line;
    }

    /// <summary>Throws the error of this place.</summary>
    [DoesNotReturn]
    public void Fail(string what, string wayOut) => InvalidFileException.Throw(file, $"byte {start}", what, wayOut);
}
