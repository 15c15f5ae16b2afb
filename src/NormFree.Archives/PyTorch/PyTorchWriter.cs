using NormFree.Formats.Safetensors;
using NormFree.Archives.Zip;

namespace NormFree.Archives.PyTorch;

/// <summary>Writes a state dictionary in PyTorch's zip format, which <c>torch.load</c> of 1.6 and newer reads, with
/// <c>weights_only=True</c> too. The same tensors in the same order give the same bytes.</summary>
/// <remarks>
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
    /// <param name="bytes">Its elements, row-major and little-endian. They are not copied: leave them be until they are written.</param>
    /// <exception cref="ArgumentException">The name is taken, the bytes do not fill the shape, or older versions of PyTorch have no such type.</exception>
    public PyTorchWriter Add(string name, DType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
    {
        long[] sizes = shape.ToArray();
        if (tensors.ContainsKey(name))
            throw new ArgumentException($"The name {Quoted.Name(name)} is taken: give every tensor its own.", nameof(name));
        if (StorageType.Name(type) is null)
            throw new ArgumentException($"Tensor {Quoted.Name(name)}: PyTorch has no storage of {type.Name()}.", nameof(type));
        if (TensorEntry.BytesOf(type, sizes) != bytes.Length)
            throw new ArgumentException(
                $"Tensor {Quoted.Name(name)}: {bytes.Length} bytes do not fill the shape [{string.Join(", ", sizes)}] of {type.Name()}.", nameof(bytes));
        tensors.Add(name, (type, sizes, bytes));
        return this;
    }

    /// <summary>Writes the file as a whole or not at all.</summary>
    /// <param name="path">The target.</param>
    /// <exception cref="IOException">It cannot be written. The old file is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written to. The old file is intact.</exception>
    public void Save(string path) => AtomicFile.Write(path, Write);

    /// <summary>Writes the file's bytes to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <exception cref="InvalidOperationException">The file passes 4 GiB.</exception>
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

    /// <summary><c>_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())</c>.</summary>
    private static void Tensor(PickleWriter pickle, int key, DType type, long[] shape, int bytes)
    {
        pickle.Global("torch._utils", "_rebuild_tensor_v2");
        pickle.Mark();
        pickle.Mark();
        pickle.Text("storage");
        pickle.Global("torch", StorageType.Name(type)!);
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

    /// <summary>Row-major strides; an axis without elements counts as one, as in PyTorch.</summary>
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
