using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace NormFree.Formats.Safetensors;

/// <summary>Writes a safetensors file. The same tensors and metadata in the same order give the same bytes.</summary>
/// <remarks>
/// The header is padded with spaces so that the data starts at a multiple of 64 bytes.
/// <example><code>
/// new SafetensorsWriter()
///     .Describe("format", "normfree")
///     .Add("conv1.weight", DType.F32, [4, 3, 3, 3], bytes)
///     .Save("model.safetensors");
/// </code></example>
/// </remarks>
public sealed class SafetensorsWriter
{
    private const int Alignment = 64;
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private readonly OrderedDictionary<string, string> metadata = [];
    private readonly OrderedDictionary<string, (TensorEntry Entry, ReadOnlyMemory<byte> Bytes)> tensors = [];
    private long end;

    /// <summary>Adds a metadata entry.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="value">Its value.</param>
    /// <exception cref="ArgumentException">The key exists already, or a text has half of a surrogate pair.</exception>
    public SafetensorsWriter Describe(string key, string value)
    {
        RequireUnicode(key, nameof(key));
        RequireUnicode(value, nameof(value));
        metadata.Add(key, value);
        return this;
    }

    /// <summary>Adds a tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="type">Its element type.</param>
    /// <param name="shape">Its shape; empty for a scalar.</param>
    /// <param name="bytes">Its elements, row-major and little-endian. They are not copied and must not change before they are written.</param>
    /// <exception cref="ArgumentException">The name exists already or has half of a surrogate pair, or the bytes do not fit the shape.</exception>
    public SafetensorsWriter Add(string name, DType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
    {
        RequireUnicode(name, nameof(name));
        long[] sizes = shape.ToArray();
        if (name == SafetensorsHeader.MetadataKey || tensors.ContainsKey(name))
            throw new ArgumentException($"The name {Quoted.Name(name)} exists already: each tensor needs its own name.", nameof(name));
        if (TensorEntry.BytesOf(type, sizes) != bytes.Length)
            throw new ArgumentException(
                $"Tensor {Quoted.Name(name)}: {bytes.Length} bytes do not fit the shape [{string.Join(", ", sizes)}] of {type.Name()}.", nameof(bytes));
        tensors.Add(name, (new TensorEntry(name, type, sizes, end, end + bytes.Length), bytes));
        end += bytes.Length;
        return this;
    }

    /// <summary>Adds the checksum of all metadata and tensors; <see cref="SafetensorsFile.RequireChecksum"/> verifies it.</summary>
    /// <remarks>Call it last: anything added afterwards makes the checksum wrong.</remarks>
    public SafetensorsWriter DescribeChecksum()
    {
        using var checksum = new ContentChecksum();
        foreach (var (key, value) in metadata)
            checksum.Add(key, value);
        foreach (var (entry, bytes) in tensors.Values)
        {
            checksum.Add(entry);
            checksum.AddBytes(bytes.Span);
        }
        return Describe(ContentChecksum.Key, checksum.Finish());
    }

    /// <summary>Writes the file completely or not at all; see <see cref="AtomicFile"/>.</summary>
    /// <param name="path">The target.</param>
    /// <exception cref="IOException">It cannot be written. The old file is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable. The old file is intact.</exception>
    public void Save(string path) => AtomicFile.Write(path, Write);

    /// <summary>Writes the file to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <exception cref="InvalidOperationException">The header exceeds the format's limit of 100 MB.</exception>
    public void Write(Stream stream)
    {
        var json = Header();
        int padded = Pad(SafetensorsFile.LengthBytes + json.Length) - SafetensorsFile.LengthBytes;
        if (padded > SafetensorsHeader.MaxBytes)
            throw new InvalidOperationException($"The header has {padded} bytes, but the format allows {SafetensorsHeader.MaxBytes}: shorten the metadata.");
        byte[] head = new byte[SafetensorsFile.LengthBytes + padded];
        head.AsSpan().Fill((byte)' ');
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)padded);
        json.CopyTo(head.AsSpan(SafetensorsFile.LengthBytes));
        stream.Write(head);
        foreach (var (_, bytes) in tensors.Values)
            stream.Write(bytes.Span);
    }

    /// <summary>The writer of JSON would replace half of a surrogate pair, so that another text would be read.</summary>
    private static void RequireUnicode(string text, string parameter)
    {
        try
        {
            StrictUtf8.GetByteCount(text);
        }
        catch (EncoderFallbackException)
        {
            throw new ArgumentException($"{Quoted.Name(text)} has half of a surrogate pair, which UTF-8 cannot represent.", parameter);
        }
    }

    private ReadOnlySpan<byte> Header()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata.Count > 0)
                WriteMetadata(json);
            foreach (var (entry, _) in tensors.Values)
                WriteTensor(json, entry);
            json.WriteEndObject();
        }
        return buffer.WrittenSpan;
    }

    private void WriteMetadata(Utf8JsonWriter json)
    {
        json.WriteStartObject(SafetensorsHeader.MetadataKey);
        foreach (var (key, value) in metadata)
            json.WriteString(key, value);
        json.WriteEndObject();
    }

    private static void WriteTensor(Utf8JsonWriter json, TensorEntry entry)
    {
        json.WriteStartObject(entry.Name);
        json.WriteString("dtype", entry.DType.Name());
        WriteNumbers(json, "shape", entry.Shape);
        WriteNumbers(json, "data_offsets", [entry.Begin, entry.End]);
        json.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter json, string key, IEnumerable<long> numbers)
    {
        json.WriteStartArray(key);
        foreach (long number in numbers)
            json.WriteNumberValue(number);
        json.WriteEndArray();
    }

    private static int Pad(int bytes) => (bytes + Alignment - 1) / Alignment * Alignment;
}
