using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NormFree.Formats.Safetensors;

/// <summary>A safetensors file open for reading. The whole header is validated before any tensor is read.</summary>
/// <remarks>
/// The format: the length of the header (8 bytes, little-endian), the header (JSON: name → dtype, shape, data_offsets; and <c>__metadata__</c>,
/// strings of the writer), then the bytes of the tensors, little-endian and row-major, without gaps.
/// Reading is thread-safe. Tensors are read from the file on request; the file is not mapped into memory.
/// <example><code>
/// using var file = SafetensorsFile.Open("model.safetensors");
/// float[] weights = file.ReadAsSingle(file["conv1.weight"]);
/// </code></example>
/// </remarks>
public sealed class SafetensorsFile : IDisposable
{
    /// <summary>The size of the length before the header.</summary>
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

    /// <summary>The name of the file in errors.</summary>
    public string Name { get; }

    /// <summary>The first byte after the header. Offsets of tensors count from here.</summary>
    public long DataStart { get; }

    /// <summary>The tensors in the order of the header.</summary>
    public IReadOnlyList<TensorEntry> Tensors { get; }

    /// <summary>The writer's metadata.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>The tensor with this name.</summary>
    /// <param name="tensor">The name.</param>
    /// <exception cref="InvalidFileException">The file has no such tensor.</exception>
    public TensorEntry this[string tensor] => Find(tensor)
        ?? throw new InvalidFileException(Name, $"tensor {Quoted.Name(tensor)}", "it is not in the file", "Check that the file belongs to this network");

    /// <summary>Opens a file and validates its header.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">It is not a safetensors file.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static SafetensorsFile Open(string path)
    {
        if (Directory.Exists(path))
            InvalidFileException.Throw(path, "file", "it is a folder", "Give a file in it");
        var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            if (FileKind.OfStream(stream, path) is { } kind && !kind.IsSafetensors)
                InvalidFileException.Throw(path, "byte 0", kind.What, kind.Remedy);
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

    /// <summary>Reads the rest of a stream into memory as a file.</summary>
    /// <param name="stream">The stream. It can be closed afterwards.</param>
    /// <param name="name">The name of the file in errors.</param>
    /// <exception cref="InvalidFileException">It is not a safetensors file, or it is longer than an array can be.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static SafetensorsFile Read(Stream stream, string name) =>
        new(new MemoryStream(PlainFile.ReadAllBytes(stream, name, Array.MaxLength), writable: false), name);

    /// <summary>The tensor with this name; null if there is none.</summary>
    /// <param name="tensor">The name.</param>
    public TensorEntry? Find(string tensor) => byName.GetValueOrDefault(tensor);

    /// <summary>Reads the bytes of a tensor.</summary>
    /// <param name="entry">The tensor, one of <see cref="Tensors"/>.</param>
    /// <exception cref="InvalidFileException">It is larger than an array can be.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public byte[] ReadBytes(TensorEntry entry)
    {
        if (entry.Bytes > Array.MaxLength)
            Fail(entry, $"its {entry.Bytes} bytes do not fit into one array", "Read it in parts");
        byte[] bytes = new byte[entry.Bytes];
        ReadBytes(entry, 0, bytes);
        return bytes;
    }

    /// <summary>Reads a part of a tensor into the caller's memory.</summary>
    /// <param name="entry">The tensor, one of <see cref="Tensors"/>.</param>
    /// <param name="from">The first byte, counted from the start of the tensor.</param>
    /// <param name="destination">The destination, which is filled completely.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part is not within the tensor.</exception>
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

    /// <summary>Reads the elements of a tensor as float32, rounded to nearest if the stored type is wider.</summary>
    /// <param name="entry">The tensor.</param>
    /// <exception cref="InvalidFileException">It is larger than an array can be.</exception>
    public float[] ReadAsSingle(TensorEntry entry) => ReadAs<float>(entry);

    /// <summary>Reads the elements of a tensor as float64: exact, except for 64-bit integers above 2^53.</summary>
    /// <param name="entry">The tensor.</param>
    /// <exception cref="InvalidFileException">It is larger than an array can be.</exception>
    public double[] ReadAsDouble(TensorEntry entry) => ReadAs<double>(entry);

    /// <summary>Reads the elements of a tensor of integers or Booleans.</summary>
    /// <param name="entry">The tensor.</param>
    /// <exception cref="InvalidFileException">It has a floating-point type, or a number exceeds 2^63-1.</exception>
    public long[] ReadAsInt64(TensorEntry entry)
    {
        if (entry.DType is DType.F16 or DType.BF16 or DType.F32 or DType.F64)
            Fail(entry, $"it has type {entry.DType.Name()}, but integers are required", "Check that the file belongs to this network");
        long[] values = ReadAs<long>(entry);
        if (entry.DType == DType.U64 && Array.Exists(values, value => value < 0))
            Fail(entry, "it contains a number above 2^63-1", "Check that the file belongs to this network");
        return values;
    }

    /// <summary>Compares the content with the checksum added by <see cref="SafetensorsWriter.DescribeChecksum"/>. Reads the whole file.</summary>
    /// <exception cref="InvalidFileException">They differ, or there is no checksum.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public void RequireChecksum()
    {
        if (!Metadata.TryGetValue(ContentChecksum.Key, out var expected))
            InvalidFileException.Throw(Name, "metadata", "it has no checksum", Remedy.DownloadAgain);
        if (Checksum() != expected)
            InvalidFileException.Throw(Name, "content", "it differs from its checksum", Remedy.DownloadAgain);
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
        return checksum.Finish();
    }

    private int ReadHeaderLength()
    {
        if (stream.Length < LengthBytes)
            InvalidFileException.Throw(Name, "byte 0", $"{stream.Length} bytes are too few for a safetensors file", Remedy.DownloadAgain);
        Span<byte> length = stackalloc byte[LengthBytes];
        stream.ReadExactly(length);
        ulong claimed = BinaryPrimitives.ReadUInt64LittleEndian(length);
        if (claimed > SafetensorsHeader.MaxBytes)
            InvalidFileException.Throw(
                Name, "byte 0", $"the header claims {claimed} bytes, but the format allows {SafetensorsHeader.MaxBytes}",
                "Check that this is a safetensors file");
        if (claimed > (ulong)(stream.Length - LengthBytes))
            InvalidFileException.Throw(
                Name, "byte 0", $"the header claims {claimed} bytes, but only {stream.Length - LengthBytes} follow", Remedy.DownloadAgain);
        return (int)claimed;
    }

    private T[] ReadAs<T>(TensorEntry entry) where T : unmanaged, INumber<T>
    {
        if (entry.Elements > Array.MaxLength)
            Fail(entry, $"its {entry.Elements} elements do not fit into one array", "Read it in parts");
        var values = new T[entry.Elements];
        switch (entry.DType)
        {
            case DType.Bool: Fill<byte, T>(entry, values, Elements.FromBool); break;
            case DType.BF16: Fill<ushort, T>(entry, values, Elements.FromBFloat16); break;
            case DType.U8: Fill<byte, T>(entry, values, Elements.FromNumber); break;
            case DType.I8: Fill<sbyte, T>(entry, values, Elements.FromNumber); break;
            case DType.I16: Fill<short, T>(entry, values, Elements.FromNumber); break;
            case DType.U16: Fill<ushort, T>(entry, values, Elements.FromNumber); break;
            case DType.F16: Fill<Half, T>(entry, values, Elements.FromNumber); break;
            case DType.I32: Fill<int, T>(entry, values, Elements.FromNumber); break;
            case DType.U32: Fill<uint, T>(entry, values, Elements.FromNumber); break;
            case DType.F32: Fill<float, T>(entry, values, Elements.FromNumber); break;
            case DType.F64: Fill<double, T>(entry, values, Elements.FromNumber); break;
            case DType.I64: Fill<long, T>(entry, values, Elements.FromNumber); break;
            default: Fill<ulong, T>(entry, values, Elements.FromNumber); break;
        }
        return values;
    }

    /// <summary>Reads and converts piece by piece, so that the tensor is never in memory twice.</summary>
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

    private void Fail(TensorEntry entry, string what, string remedy) =>
        InvalidFileException.Throw(Name, $"tensor {Quoted.Name(entry.Name)}", what, remedy);
}
