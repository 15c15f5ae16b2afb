using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NormFree.Formats.Safetensors;

/// <summary>A safetensors file that is open for reading. Its whole header is validated before any tensor is read.</summary>
/// <remarks>
/// The format: the header's length (8 bytes, little-endian), the header (JSON: name → dtype, shape, data_offsets; and
/// <c>__metadata__</c>, texts of the writer), the tensors' bytes, little-endian and row-major, without holes.
/// Reading is safe from several threads at once.
/// <example><code>
/// using var file = SafetensorsFile.Open("model.safetensors");
/// float[] weights = file.ReadAsSingle(file["conv1.weight"]);
/// </code></example>
/// </remarks>
public sealed class SafetensorsFile : IDisposable
{
    /// <summary>The header's length takes this many bytes.</summary>
    internal const int LengthBytes = 8;

    private const int PieceElements = 64 * 1024;
    private readonly Lock reading = new();
    private readonly Stream stream;
    private readonly Dictionary<string, TensorEntry> byName;

    private SafetensorsFile(Stream stream, string name)
    {
        this.stream = stream;
        Name = name;
        int headerBytes = ReadHeaderLength();
        byte[] json = new byte[headerBytes];
        stream.ReadExactly(json);
        DataStart = LengthBytes + headerBytes;
        var header = SafetensorsHeader.Parse(json, stream.Length - DataStart, name);
        Tensors = header.Tensors;
        Metadata = header.Metadata;
        byName = header.Tensors.ToDictionary(entry => entry.Name);
    }

    /// <summary>The name that errors give to the file.</summary>
    public string Name { get; }

    /// <summary>The first byte behind the header, from which tensors count theirs.</summary>
    public long DataStart { get; }

    /// <summary>The tensors in the header's order.</summary>
    public IReadOnlyList<TensorEntry> Tensors { get; }

    /// <summary>The texts that the writer added.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>The tensor of a name.</summary>
    /// <param name="tensor">The name.</param>
    /// <exception cref="InvalidFileException">The file has none of that name.</exception>
    public TensorEntry this[string tensor] => Find(tensor)
        ?? throw new InvalidFileException(Name, $"tensor {Quoted.Name(tensor)}", "it is not in the file", "Check that this is the file of this network");

    /// <summary>Opens a file and validates its header.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">It is no safetensors file.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static SafetensorsFile Open(string path)
    {
        if (Directory.Exists(path))
            InvalidFileException.Throw(path, "file", "it is a folder", "Name a file in it");
        var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            if (stream.CanSeek)
                return new SafetensorsFile(stream, path);
            using (stream)
                return Read(stream, path);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Reads the rest of a stream into memory, as a file.</summary>
    /// <param name="stream">The stream; it is not needed afterwards.</param>
    /// <param name="name">The name that errors give to it.</param>
    /// <exception cref="InvalidFileException">It is no safetensors file, or longer than an array can be.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static SafetensorsFile Read(Stream stream, string name) =>
        new(new MemoryStream(Slurp.All(stream, name, Array.MaxLength), writable: false), name);

    /// <summary>The tensor of a name; null where there is none.</summary>
    /// <param name="tensor">The name.</param>
    public TensorEntry? Find(string tensor) => byName.GetValueOrDefault(tensor);

    /// <summary>A tensor's bytes.</summary>
    /// <param name="entry">The tensor, one of <see cref="Tensors"/>.</param>
    /// <exception cref="InvalidFileException">It is larger than an array can be.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public byte[] ReadBytes(TensorEntry entry)
    {
        if (entry.Bytes > Array.MaxLength)
            Fail(entry, $"{entry.Bytes} bytes are more than one array holds", "Read it in parts");
        byte[] bytes = new byte[entry.Bytes];
        ReadBytes(entry, 0, bytes);
        return bytes;
    }

    /// <summary>A part of a tensor's bytes, into memory of the caller's.</summary>
    /// <param name="entry">The tensor, one of <see cref="Tensors"/>.</param>
    /// <param name="from">The first byte, counted from the tensor's own.</param>
    /// <param name="destination">Where they go; as many are read as fit.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tensor has not so many.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public void ReadBytes(TensorEntry entry, long from, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(from);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, entry.Bytes - from, nameof(destination));
        lock (reading)
        {
            stream.Position = DataStart + entry.Begin + from;
            stream.ReadExactly(destination);
        }
    }

    /// <summary>A tensor's elements as singles, rounded to the nearest where its own type is wider.</summary>
    /// <param name="entry">The tensor.</param>
    /// <exception cref="InvalidFileException">It is larger than an array can be.</exception>
    public float[] ReadAsSingle(TensorEntry entry) => ReadAs<float>(entry);

    /// <summary>A tensor's elements as doubles: exact, except for 64-bit integers past 2^53.</summary>
    /// <param name="entry">The tensor.</param>
    /// <exception cref="InvalidFileException">It is larger than an array can be.</exception>
    public double[] ReadAsDouble(TensorEntry entry) => ReadAs<double>(entry);

    /// <summary>The elements of a tensor of whole numbers or truth values.</summary>
    /// <param name="entry">The tensor.</param>
    /// <exception cref="InvalidFileException">Its type is a floating-point one, or a number passes 2^63-1.</exception>
    public long[] ReadAsInt64(TensorEntry entry)
    {
        if (entry.DType is DType.F16 or DType.BF16 or DType.F32 or DType.F64)
            Fail(entry, $"it holds {entry.DType.Name()} where whole numbers are needed", "Check that this is the file of this network");
        long[] values = ReadAs<long>(entry);
        if (entry.DType == DType.U64 && Array.Exists(values, value => value < 0))
            Fail(entry, "it holds a number past 2^63-1", "Check that this is the file of this network");
        return values;
    }

    /// <summary>Compares the content with the checksum that <see cref="SafetensorsWriter.DescribeChecksum"/> has added. Reads the whole file.</summary>
    /// <exception cref="InvalidFileException">They differ, or there is no checksum.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public void RequireChecksum()
    {
        if (!Metadata.TryGetValue(ContentChecksum.Key, out var expected))
            InvalidFileException.Throw(Name, "metadata", "it has no checksum", WayOut.FetchAgain);
        if (Checksum() != expected)
            InvalidFileException.Throw(Name, "content", "it differs from its checksum", WayOut.FetchAgain);
    }

    /// <inheritdoc/>
    public void Dispose() => stream.Dispose();

    private string Checksum()
    {
        using var checksum = new ContentChecksum();
        foreach (var (key, value) in Metadata)
            checksum.Add(key, value);
        byte[] piece = new byte[PieceElements];
        foreach (var entry in Tensors)
        {
            checksum.Add(entry);
            for (long done = 0; done < entry.Bytes; done += piece.Length)
            {
                var part = piece.AsSpan(0, (int)Math.Min(piece.Length, entry.Bytes - done));
                ReadBytes(entry, done, part);
                checksum.AddBytes(part);
            }
        }
        return checksum.Text();
    }

    private int ReadHeaderLength()
    {
        if (stream.Length < LengthBytes)
            InvalidFileException.Throw(Name, "byte 0", $"{stream.Length} bytes are no safetensors file", WayOut.FetchAgain);
        Span<byte> length = stackalloc byte[LengthBytes];
        stream.ReadExactly(length);
        ulong announced = BinaryPrimitives.ReadUInt64LittleEndian(length);
        if (announced > SafetensorsHeader.MaxBytes)
            InvalidFileException.Throw(
                Name, "byte 0", $"a header of {announced} bytes is announced, more than the format's {SafetensorsHeader.MaxBytes}",
                "Check that this is a safetensors file");
        if (announced > (ulong)(stream.Length - LengthBytes))
            InvalidFileException.Throw(
                Name, "byte 0", $"a header of {announced} bytes is announced and {stream.Length - LengthBytes} are left", WayOut.FetchAgain);
        return (int)announced;
    }

    private T[] ReadAs<T>(TensorEntry entry) where T : unmanaged, INumber<T>
    {
        if (entry.Elements > Array.MaxLength)
            Fail(entry, $"{entry.Elements} elements are more than one array holds", "Read it in parts");
        var values = new T[entry.Elements];
        switch (entry.DType)
        {
            case DType.Bool: Fill<byte, T>(entry, values, Elements.Truth); break;
            case DType.BF16: Fill<ushort, T>(entry, values, Elements.BFloat16); break;
            case DType.U8: Fill<byte, T>(entry, values, Elements.Number); break;
            case DType.I8: Fill<sbyte, T>(entry, values, Elements.Number); break;
            case DType.I16: Fill<short, T>(entry, values, Elements.Number); break;
            case DType.U16: Fill<ushort, T>(entry, values, Elements.Number); break;
            case DType.F16: Fill<Half, T>(entry, values, Elements.Number); break;
            case DType.I32: Fill<int, T>(entry, values, Elements.Number); break;
            case DType.U32: Fill<uint, T>(entry, values, Elements.Number); break;
            case DType.F32: Fill<float, T>(entry, values, Elements.Number); break;
            case DType.F64: Fill<double, T>(entry, values, Elements.Number); break;
            case DType.I64: Fill<long, T>(entry, values, Elements.Number); break;
            default: Fill<ulong, T>(entry, values, Elements.Number); break;
        }
        return values;
    }

    /// <summary>Reads and converts a piece at a time, so that a tensor never lies in memory twice.</summary>
    private void Fill<TStored, T>(TensorEntry entry, Span<T> values, Action<ReadOnlySpan<TStored>, Span<T>> convert)
        where TStored : unmanaged where T : unmanaged
    {
        if (typeof(TStored) == typeof(T))
        {
            ReadBytes(entry, 0, MemoryMarshal.AsBytes(values));
            return;
        }
        var piece = new TStored[Math.Min(values.Length, PieceElements)];
        for (int done = 0; done < values.Length; done += piece.Length)
        {
            var part = piece.AsSpan(0, Math.Min(piece.Length, values.Length - done));
            ReadBytes(entry, (long)done * Unsafe.SizeOf<TStored>(), MemoryMarshal.AsBytes(part));
            convert(part, values.Slice(done, part.Length));
        }
    }

    private void Fail(TensorEntry entry, string what, string wayOut) =>
        InvalidFileException.Throw(Name, $"tensor {Quoted.Name(entry.Name)}", what, wayOut);
}
