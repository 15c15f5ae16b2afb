using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace NormFree.Formats.Onnx;

/// <summary>Reads the fields of a protobuf message one after the other. Every length is held against the bytes that are left.</summary>
/// <param name="message">The message.</param>
/// <param name="begin">Where it begins in the file; errors name the place.</param>
/// <param name="file">The name that errors give to the file.</param>
internal sealed class ProtobufReader(ReadOnlyMemory<byte> message, int begin, string file)
{
    private int at;
    private ProtobufWire wire;

    /// <summary>The number of the field that is being read.</summary>
    public int Field { get; private set; }

    /// <summary>Goes on to the next field; false at the end. Each must be read, or skipped, before the next.</summary>
    public bool Next()
    {
        if (at == message.Length)
            return false;
        ulong tag = Varint();
        wire = (ProtobufWire)(tag & 7);
        Field = tag >> 3 is > 0 and < 1 << 29 ? (int)(tag >> 3) : Fail<int>("this is no field");
        return true;
    }

    /// <summary>The field as a whole number.</summary>
    public long Integer()
    {
        Require(ProtobufWire.Varint);
        return (long)Varint();
    }

    /// <summary>The field as a single.</summary>
    public float Single()
    {
        Require(ProtobufWire.Fixed32);
        return BinaryPrimitives.ReadSingleLittleEndian(Take(4).Span);
    }

    /// <summary>The field's bytes, without a copy.</summary>
    public ReadOnlyMemory<byte> Bytes()
    {
        Require(ProtobufWire.Length);
        return Take(Varint());
    }

    /// <summary>The field as a text.</summary>
    public string Text() => Encoding.UTF8.GetString(Bytes().Span);

    /// <summary>The field as a message within this one.</summary>
    public ProtobufReader Message()
    {
        var bytes = Bytes();
        return new ProtobufReader(bytes, begin + at - bytes.Length, file);
    }

    /// <summary>Adds the field's whole number, or, where they are packed into one field, all of them.</summary>
    public void Integers(List<long> numbers)
    {
        if (wire == ProtobufWire.Varint)
        {
            numbers.Add((long)Varint());
            return;
        }
        var packed = Message();
        while (packed.at < packed.message.Length)
            numbers.Add((long)packed.Varint());
    }

    /// <summary>Skips the field.</summary>
    public void Skip()
    {
        switch (wire)
        {
            case ProtobufWire.Varint: Varint(); break;
            case ProtobufWire.Fixed64: Take(8); break;
            case ProtobufWire.Length: Take(Varint()); break;
            case ProtobufWire.Fixed32: Take(4); break;
            default: Fail<int>("this is no field"); break;
        }
    }

    /// <summary>Throws the error of this place.</summary>
    [DoesNotReturn]
    public T Fail<T>(string what)
    {
        InvalidFileException.Throw(file, $"byte {begin + at}", what, WayOut.FetchAgain);
        return default;
    }

    private readonly ReadOnlyMemory<byte> message = message;

    private void Require(ProtobufWire expected)
    {
        if (wire != expected)
            Fail<int>($"field {Field} is not of the kind that ONNX has there");
    }

    private ReadOnlyMemory<byte> Take(ulong count)
    {
        if (count > (ulong)(message.Length - at))
            Fail<int>($"{count} bytes are announced and {message.Length - at} are left");
        var taken = message.Slice(at, (int)count);
        at += (int)count;
        return taken;
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte next = Take(1).Span[0];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return value;
        }
        return Fail<ulong>("a number does not end");
    }
}
