using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using NormFree.Archives.Zip;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>Writes a state dictionary in PyTorch's zip format, readable by <c>torch.load(weights_only=True)</c> since PyTorch 1.6.</summary>
/// <remarks>
/// The same tensors in the same order give the same bytes.
/// <example><code>
/// new PyTorchWriter()
///     .Add("conv1.weight", DType.F32, [4, 3, 3, 3], bytes)
///     .Save("model.pth");
/// </code></example>
/// </remarks>
public sealed class PyTorchWriter
{
    private const string Folder = "archive/";
    private readonly OrderedDictionary<string, (DType Type, long[] Shape, ReadOnlyMemory<byte> Bytes)> tensors = [];

    /// <summary>Adds a tensor.</summary>
    /// <param name="name">Its key.</param>
    /// <param name="type">Its element type.</param>
    /// <param name="shape">Its shape; empty for a scalar.</param>
    /// <param name="bytes">Its elements, row-major and little-endian. They are not copied and must not change before they are written.</param>
    /// <exception cref="ArgumentException">The name exists already, the bytes do not fit the shape, or PyTorch has no storage class of this type.</exception>
    public PyTorchWriter Add(string name, DType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
    {
        long[] sizes = shape.ToArray();
        if (tensors.ContainsKey(name))
            throw new ArgumentException($"The name {Quoted.Name(name)} exists already: each tensor needs its own name.", nameof(name));
        if (StorageTypes.Name(type) is null)
            throw new ArgumentException($"Tensor {Quoted.Name(name)}: PyTorch has no storage class of {type.Name()}.", nameof(type));
        if (TensorEntry.BytesOf(type, sizes) != bytes.Length)
            throw new ArgumentException(
                $"Tensor {Quoted.Name(name)}: {bytes.Length} bytes do not fit the shape [{string.Join(", ", sizes)}] of {type.Name()}.", nameof(bytes));
        tensors.Add(name, (type, sizes, bytes));
        return this;
    }

    /// <summary>Writes the file completely or not at all; see <see cref="AtomicFile"/>.</summary>
    /// <param name="path">The target.</param>
    /// <exception cref="IOException">It cannot be written. The old file is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable. The old file is intact.</exception>
    public void Save(string path) => AtomicFile.Write(path, Write);

    /// <summary>Writes the file to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <exception cref="InvalidOperationException">The file exceeds 4 GiB.</exception>
    public void Write(Stream stream)
    {
        var zip = new StoredZipWriter(stream);
        zip.Add(Folder + "data.pkl", Pickle());
        zip.Add(Folder + "byteorder", "little"u8);
        for (int i = 0; i < tensors.Count; i++)
            zip.Add($"{Folder}data/{i}", tensors.GetAt(i).Value.Bytes.Span);
        zip.Add(Folder + "version", "3\n"u8);
        zip.Finish();
    }

    private byte[] Pickle()
    {
        var pickle = new PickleWriter();
        OrderedDict(pickle);
        pickle.Mark();
        for (int i = 0; i < tensors.Count; i++)
        {
            var (name, tensor) = tensors.GetAt(i);
            pickle.Text(name);
            Tensor(pickle, i, tensor.Type, tensor.Shape, tensor.Bytes.Length);
        }
        pickle.SetItems();
        return pickle.Finish();
    }

    /// <summary>Writes <c>_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())</c>.</summary>
    private static void Tensor(PickleWriter pickle, int key, DType type, long[] shape, int bytes)
    {
        pickle.Global("torch._utils", "_rebuild_tensor_v2");
        pickle.Mark();
        pickle.Mark();
        pickle.Text("storage");
        pickle.Global("torch", StorageTypes.Name(type)!);
        pickle.Text($"{key}");
        pickle.Text("cpu");
        pickle.Integer(bytes / type.Bytes());
        pickle.Tuple();
        pickle.PersistentId();
        pickle.Integer(0);
        Numbers(pickle, shape);
        Numbers(pickle, Strides(shape));
        pickle.False();
        OrderedDict(pickle);
        pickle.Tuple();
        pickle.Call();
    }

    private static void OrderedDict(PickleWriter pickle)
    {
        pickle.Global("collections", "OrderedDict");
        Numbers(pickle, []);
        pickle.Call();
    }

    private static void Numbers(PickleWriter pickle, long[] numbers)
    {
        pickle.Mark();
        foreach (long number in numbers)
            pickle.Integer(number);
        pickle.Tuple();
    }

    /// <summary>Row-major strides. As in PyTorch, an empty axis counts as one element.</summary>
    private static long[] Strides(long[] shape)
    {
        long[] strides = new long[shape.Length];
        long step = 1;
        for (int axis = shape.Length - 1; axis >= 0; axis--)
        {
            strides[axis] = step;
            step *= Math.Max(1, shape[axis]);
        }
        return strides;
    }
}

/// <summary>Writes the opcodes of pickle protocol 2 that a state dictionary needs. <c>torch.load(weights_only=True)</c> accepts all of them.</summary>
internal sealed class PickleWriter
{
    private readonly MemoryStream bytes = new();

    /// <summary>Starts a pickle.</summary>
    public PickleWriter() => Bytes([0x80, 2]);

    /// <summary>Ends the pickle and returns its bytes.</summary>
    public byte[] Finish()
    {
        Byte('.');
        return bytes.ToArray();
    }

    /// <summary>Pushes the name of a class or function to import.</summary>
    public void Global(string module, string name) => Bytes(Encoding.ASCII.GetBytes($"c{module}\n{name}\n"));

    /// <summary>Pushes a string.</summary>
    public void Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Byte('X');
        Int32(utf8.Length);
        Bytes(utf8);
    }

    /// <summary>Pushes an integer in the shortest form that PyTorch writes.</summary>
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

    /// <summary>Pushes <c>False</c>.</summary>
    public void False() => Bytes([0x89]);

    /// <summary>Marks the start of a <see cref="Tuple"/> or <see cref="SetItems"/>.</summary>
    public void Mark() => Byte('(');

    /// <summary>Makes a tuple of the values since the mark.</summary>
    public void Tuple() => Byte('t');

    /// <summary>Calls the name below the top with the tuple on top.</summary>
    public void Call() => Byte('R');

    /// <summary>Sets the keys and values since the mark in the dictionary below the mark.</summary>
    public void SetItems() => Byte('u');

    /// <summary>Makes a persistent id of the tuple on top.</summary>
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
