using System.Buffers.Binary;
using System.Text;

namespace NormFree.Formats.Onnx;

/// <summary>Writes a message in protobuf's wire format. Large values are referred to, not copied, until the whole is written.</summary>
/// <remarks>See protobuf.dev/programming-guides/encoding: a field is a number with a wire type, then a value.</remarks>
internal sealed class ProtobufMessage
{
    private readonly List<ReadOnlyMemory<byte>> parts = [];
    private readonly MemoryStream pending = new();
    private long flushed;

    /// <summary>The message's bytes.</summary>
    public long Length => flushed + pending.Length;

    /// <summary>Adds a whole number.</summary>
    public void Integer(int field, long value)
    {
        Tag(field, ProtobufWire.Varint);
        Varint((ulong)value);
    }

    /// <summary>Adds a single.</summary>
    public void Single(int field, float value)
    {
        Tag(field, ProtobufWire.Fixed32);
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        pending.Write(bytes);
    }

    /// <summary>Adds a text.</summary>
    public void Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    /// <summary>Adds bytes, which must stay as they are until the message is written.</summary>
    public void Bytes(int field, ReadOnlyMemory<byte> value)
    {
        Tag(field, ProtobufWire.Length);
        Varint((ulong)value.Length);
        Refer(value);
    }

    /// <summary>Adds a message within this one.</summary>
    public void Message(int field, ProtobufMessage value)
    {
        Tag(field, ProtobufWire.Length);
        Varint((ulong)value.Length);
        value.Flush();
        foreach (var part in value.parts)
            Refer(part);
    }

    /// <summary>Writes the message.</summary>
    public void WriteTo(Stream stream)
    {
        Flush();
        foreach (var part in parts)
            stream.Write(part.Span);
    }

    private void Refer(ReadOnlyMemory<byte> value)
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

    /// <summary>Seven bits a byte, the lowest first; the eighth says that more follow.</summary>
    private void Varint(ulong value)
    {
        for (; value > 0x7f; value >>= 7)
            pending.WriteByte((byte)(value | 0x80));
        pending.WriteByte((byte)value);
    }
}
