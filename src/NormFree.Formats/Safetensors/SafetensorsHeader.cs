using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;

namespace NormFree.Formats.Safetensors;

/// <summary>Describes a tensor of a file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">The size of each axis; empty for a scalar.</param>
/// <param name="Begin">Its first byte, counted from the end of the header.</param>
/// <param name="End">The byte after its last one.</param>
public sealed record TensorEntry(string Name, DType DType, IReadOnlyList<long> Shape, long Begin, long End)
{
    /// <summary>The number of elements.</summary>
    public long Elements => Bytes / DType.Bytes();

    /// <summary>The number of bytes.</summary>
    public long Bytes => End - Begin;

    /// <summary>The number of bytes that a shape needs; null if a size is negative or the product exceeds 63 bits.</summary>
    internal static long? BytesOf(DType type, IReadOnlyList<long> shape)
    {
        long bytes = type.Bytes();
        foreach (long size in shape)
        {
            if (size < 0 || Math.BigMul(bytes, size, out long product) != 0 || product < 0)
                return null;
            bytes = product;
        }
        return bytes;
    }
}

/// <summary>The JSON header at the start of a file. Every deviation from the format is an error.</summary>
/// <remarks>Limits: 100 MB for the header and 64 axes for a shape. Memory is bounded by a small multiple of the header.</remarks>
internal sealed class SafetensorsHeader
{
    /// <summary>The format's limit for the header.</summary>
    public const int MaxBytes = 100_000_000;

    /// <summary>The key of the metadata; no tensor may have this name.</summary>
    public const string MetadataKey = "__metadata__";

    private const int MaxAxes = 64;
    private readonly string file;

    private SafetensorsHeader(string file) => this.file = file;

    /// <summary>The tensors in the order of the header.</summary>
    public List<TensorEntry> Tensors { get; } = [];

    /// <summary>The writer's metadata.</summary>
    public OrderedDictionary<string, string> Metadata { get; } = [];

    /// <summary>Parses and validates a header.</summary>
    /// <param name="json">The header without its length.</param>
    /// <param name="dataBytes">How many bytes follow the header.</param>
    /// <param name="file">The name of the file in errors.</param>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long dataBytes, string file)
    {
        var header = new SafetensorsHeader(file);
        if (!Utf8.IsValid(json))
            header.Fail(0, "the header is not UTF-8");
        if (json.IsEmpty || json[0] != '{')
            header.Fail(0, "the header does not begin with '{'");
        try
        {
            var reader = new Utf8JsonReader(json);
            header.ReadAll(ref reader);
        }
        catch (JsonException e)
        {
            header.Fail(0, $"the header is not JSON (line {e.LineNumber.GetValueOrDefault() + 1}, byte {e.BytePositionInLine.GetValueOrDefault() + 1})");
        }
        catch (InvalidOperationException)
        {
            // Utf8JsonReader.GetString throws this for an escape like \ud800 without its other half.
            header.Fail(0, "the header contains a string that is not valid Unicode");
        }
        header.CheckLayout(dataBytes);
        return header;
    }

    private void ReadAll(ref Utf8JsonReader reader)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        Expect(ref reader, JsonTokenType.StartObject, "an object");
        while (NextProperty(ref reader, out string name))
        {
            if (!names.Add(name))
                Fail(reader.TokenStartIndex, $"the name {Quoted.Name(name)} occurs twice");
            if (name == MetadataKey)
                ReadMetadata(ref reader);
            else
                ReadTensor(ref reader, name);
        }
        // Only white space may follow.
        Next(ref reader);
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        RequireStrings(ref reader, JsonTokenType.StartObject, "");
        while (NextProperty(ref reader, out string key))
        {
            RequireStrings(ref reader, JsonTokenType.String, $" for its entry {Quoted.Name(key)}");
            if (!Metadata.TryAdd(key, reader.GetString()!))
                Fail(reader.TokenStartIndex, $"the metadata {Quoted.Name(key)} occurs twice");
        }
    }

    /// <summary>The format allows only strings in the metadata. Programs that write numbers or null there are known, so the error names them.</summary>
    private void RequireStrings(ref Utf8JsonReader reader, JsonTokenType type, string where)
    {
        if (Next(ref reader) == type)
            return;
        string found = reader.TokenType switch
        {
            JsonTokenType.Number => "a number",
            JsonTokenType.Null => "null",
            JsonTokenType.True or JsonTokenType.False => "a Boolean",
            JsonTokenType.StartArray => "a list",
            JsonTokenType.StartObject => "an object",
            _ => "a string",
        };
        string wanted = type == JsonTokenType.String ? "a string" : "an object of strings";
        InvalidFileException.Throw(
            file, "metadata", $"expected {wanted}{where} and found {found}: the format allows only strings",
            "Save the file again with str(…) around the values of its metadata, or without metadata");
    }

    private void ReadTensor(ref Utf8JsonReader reader, string name)
    {
        DType? type = null;
        long[]? shape = null;
        long[]? offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, $"an object for tensor {Quoted.Name(name)}");
        while (NextProperty(ref reader, out string key))
        {
            bool known = (key, type, shape, offsets) is ("dtype", null, _, _) or ("shape", _, null, _) or ("data_offsets", _, _, null);
            if (!known)
                Fail(name, $"the field {Quoted.Name(key)} is unknown or occurs twice", Remedy.WriteAgain);
            if (key == "dtype")
                type = ReadType(ref reader, name);
            else if (key == "shape")
                shape = ReadNumbers(ref reader, name, MaxAxes);
            else
                offsets = ReadNumbers(ref reader, name, 2);
        }
        if (type is null || shape is null || offsets is not [var begin, var end])
        {
            Fail(name, "it needs a dtype, a shape and two data_offsets", Remedy.WriteAgain);
            return;
        }
        Add(new TensorEntry(name, type.Value, shape, begin, end));
    }

    private DType ReadType(ref Utf8JsonReader reader, string name)
    {
        Expect(ref reader, JsonTokenType.String, $"a dtype for tensor {Quoted.Name(name)}");
        string text = reader.GetString()!;
        if (DTypes.Parse(text) is not { } type)
        {
            string known = string.Join(", ", DTypes.All.Select(DTypes.Name));
            Fail(name, $"the dtype {Quoted.Name(text)} is not supported", $"Convert the tensor to one of {known}");
            return default;
        }
        return type;
    }

    private long[] ReadNumbers(ref Utf8JsonReader reader, string name, int atMost)
    {
        var numbers = new List<long>();
        Expect(ref reader, JsonTokenType.StartArray, $"an array of integers for tensor {Quoted.Name(name)}");
        while (Next(ref reader) != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
                Fail(name, "shape and data_offsets must be integers from 0 to 2^63-1", Remedy.DownloadAgain);
            else if (numbers.Count == atMost)
                Fail(name, $"more than {atMost} numbers in its shape or data_offsets", Remedy.DownloadAgain);
            else
                numbers.Add(number);
        }
        return [.. numbers];
    }

    private void Add(TensorEntry entry)
    {
        if (entry.End < entry.Begin)
            Fail(entry.Name, $"it ends at byte {entry.End}, before it begins at byte {entry.Begin}", Remedy.DownloadAgain);
        if (TensorEntry.BytesOf(entry.DType, entry.Shape) is not { } needed)
            Fail(entry.Name, $"{ShapeOf(entry)} needs more than 2^63 bytes", Remedy.DownloadAgain);
        else if (needed != entry.Bytes)
            Fail(entry.Name, $"{ShapeOf(entry)} needs {needed} bytes, but the tensor has {entry.Bytes}", Remedy.DownloadAgain);
        Tensors.Add(entry);
    }

    private static string ShapeOf(TensorEntry entry) => $"shape [{string.Join(", ", entry.Shape)}] of {entry.DType.Name()}";

    /// <summary>Checks that the tensors, sorted by offset, cover the data without overlap and without gaps.</summary>
    private void CheckLayout(long dataBytes)
    {
        long reached = 0;
        foreach (var entry in Tensors.OrderBy(entry => entry.Begin).ThenBy(entry => entry.End))
        {
            if (entry.End > dataBytes)
                Fail(entry.Name, $"it ends at byte {entry.End}, but the data has {dataBytes} bytes", Remedy.DownloadAgain);
            if (entry.Begin != reached)
                Fail(entry.Name, $"it begins at byte {entry.Begin}, but the previous tensor ends at byte {reached}", Remedy.WriteAgain);
            reached = entry.End;
        }
        if (reached != dataBytes)
            InvalidFileException.Throw(file, $"byte {reached} of the data", $"{dataBytes - reached} bytes belong to no tensor", Remedy.DownloadAgain);
    }

    /// <summary>The next token. The reader throws if the data end before the header's object, or continue after it.</summary>
    private static JsonTokenType Next(ref Utf8JsonReader reader)
    {
        reader.Read();
        return reader.TokenType;
    }

    private bool NextProperty(ref Utf8JsonReader reader, out string name)
    {
        bool property = Next(ref reader) == JsonTokenType.PropertyName;
        name = property ? reader.GetString()! : "";
        return property;
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType type, string what)
    {
        if (Next(ref reader) != type)
            Fail(reader.TokenStartIndex, $"expected {what}");
    }

    [DoesNotReturn]
    private void Fail(long at, string what) =>
        InvalidFileException.Throw(file, $"byte {SafetensorsFile.LengthBytes + at}", what, Remedy.DownloadAgain);

    [DoesNotReturn]
    private void Fail(string tensor, string what, string remedy) =>
        InvalidFileException.Throw(file, $"tensor {Quoted.Name(tensor)}", what, remedy);
}
