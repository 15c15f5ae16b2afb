using System.Buffers.Binary;
using System.Text;

namespace NormFree.Formats.Protobuf;

/// <summary>Builds a protobuf message. Byte arrays are referenced, not copied, until the message is written.</summary>
/// <remarks>See protobuf.dev/programming-guides/encoding: each field is a tag (field number and wire type) followed by its value.</remarks>
internal sealed class ProtobufMessage
{
    private readonly List<ReadOnlyMemory<byte>> parts = [];
    private readonly MemoryStream pending = new();
    private long flushed;

    /// <summary>The length of the message in bytes.</summary>
    public long Length => flushed + pending.Length;

    /// <summary>Adds an integer.</summary>
    public void Integer(int field, long value)
    {
        Tag(field, ProtobufWire.Varint);
        Varint((ulong)value);
    }

    /// <summary>Adds a float.</summary>
    public void Single(int field, float value)
    {
        Tag(field, ProtobufWire.Fixed32);
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        pending.Write(bytes);
    }

    /// <summary>Adds a double.</summary>
    public void Double(int field, double value)
    {
        Tag(field, ProtobufWire.Fixed64);
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
        pending.Write(bytes);
    }

    /// <summary>Adds doubles in the packed form.</summary>
    public void Doubles(int field, ReadOnlySpan<double> values)
    {
        byte[] bytes = new byte[8 * values.Length];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteDoubleLittleEndian(bytes.AsSpan(8 * i), values[i]);
        Bytes(field, bytes);
    }

    /// <summary>Adds a string.</summary>
    public void Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    /// <summary>Adds bytes, which must not change before the message is written.</summary>
    public void Bytes(int field, ReadOnlyMemory<byte> value)
    {
        Tag(field, ProtobufWire.Length);
        Varint((ulong)value.Length);
        Reference(value);
    }

    /// <summary>Adds a nested message.</summary>
    public void Message(int field, ProtobufMessage value)
    {
        Tag(field, ProtobufWire.Length);
        Varint((ulong)value.Length);
        value.Flush();
        foreach (var part in value.parts)
            Reference(part);
    }

    /// <summary>Writes the message.</summary>
    public void WriteTo(Stream stream)
    {
        Flush();
        foreach (var part in parts)
            stream.Write(part.Span);
    }

    private void Reference(ReadOnlyMemory<byte> value)
    {
        Flush();
        parts.Add(value);
        flushed += value.Length;
    }

    private void Flush()
    {
        if (pending.Length == 0)
            return;
        parts.Add(pending.ToArray());
        flushed += pending.Length;
        pending.SetLength(0);
    }

    private void Tag(int field, ProtobufWire wire) => Varint(((ulong)field << 3) | (ulong)wire);

    /// <summary>Writes seven bits per byte, lowest first. The eighth bit says that more bytes follow.</summary>
    private void Varint(ulong value)
    {
        for (; value > 0x7f; value >>= 7)
            pending.WriteByte((byte)(value | 0x80));
        pending.WriteByte((byte)value);
    }
}

/// <summary>The wire types of protobuf fields.</summary>
internal enum ProtobufWire
{
    /// <summary>An integer of one to ten bytes.</summary>
    Varint = 0,

    /// <summary>Eight bytes.</summary>
    Fixed64 = 1,

    /// <summary>A length followed by that many bytes.</summary>
    Length = 2,

    /// <summary>Four bytes.</summary>
    Fixed32 = 5,
}
