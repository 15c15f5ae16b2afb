using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace NormFree.Archives.PyTorch;

/// <summary>Writes the few opcodes of pickle protocol 2 that a state dictionary takes; all of them pass <c>torch.load(weights_only=True)</c>.</summary>
internal sealed class PickleWriter
{
    private readonly MemoryStream bytes = new();

    /// <summary>Begins a pickle.</summary>
    public PickleWriter() => Bytes([0x80, 2]);

    /// <summary>Ends the pickle and gives its bytes.</summary>
    public byte[] Finish()
    {
        Byte('.');
        return bytes.ToArray();
    }

    /// <summary>The name of something to import.</summary>
    public void Global(string module, string name) => Bytes(Encoding.ASCII.GetBytes($"c{module}\n{name}\n"));

    /// <summary>A text.</summary>
    public void Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Byte('X');
        Int32(utf8.Length);
        Bytes(utf8);
    }

    /// <summary>A whole number, in the shortest of the forms that PyTorch writes.</summary>
    public void Integer(long value)
    {
        if (value is >= 0 and <= byte.MaxValue)
        {
            Byte('K');
            Byte((char)value);
        }
        else if (value is >= int.MinValue and <= int.MaxValue)
        {
            Byte('J');
            Int32((int)value);
        }
        else
        {
            byte[] number = new BigInteger(value).ToByteArray();
            Bytes([0x8a, (byte)number.Length]);
            Bytes(number);
        }
    }

    /// <summary><c>False</c>.</summary>
    public void False() => Bytes([0x89]);

    /// <summary>Begins what ends with <see cref="Tuple"/> or <see cref="SetItems"/>.</summary>
    public void Mark() => Byte('(');

    /// <summary>A tuple of all since the mark.</summary>
    public void Tuple() => Byte('t');

    /// <summary>A call of the name below with the tuple on top.</summary>
    public void Call() => Byte('R');

    /// <summary>Sets the keys and values since the mark in the dictionary below it.</summary>
    public void SetItems() => Byte('u');

    /// <summary>A reference to a storage, whose description is on top.</summary>
    public void PersistentId() => Byte('Q');

    private void Byte(char value) => bytes.WriteByte((byte)value);

    private void Bytes(ReadOnlySpan<byte> values) => bytes.Write(values);

    private void Int32(int value)
    {
        Span<byte> four = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(four, value);
        bytes.Write(four);
    }
}
