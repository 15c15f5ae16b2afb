using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;

namespace NormFree.Formats.Safetensors;

/// <summary>The JSON at the beginning of a file, read strictly.</summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The format's own bound.</summary>
    public const int MaxBytes = 100_000_000;

    /// <summary>The key that is no tensor's name.</summary>
    public const string MetadataKey = "__metadata__";

    private const int MaxAxes = 64;
    private readonly string file;

    private SafetensorsHeader(string file) => this.file = file;

    /// <summary>The tensors in the header's order.</summary>
    public List<TensorEntry> Tensors { get; } = [];

    /// <summary>The writer's own texts.</summary>
    public OrderedDictionary<string, string> Metadata { get; } = [];

    /// <summary>Reads a header.</summary>
    /// <param name="json">The header without its length.</param>
    /// <param name="dataBytes">How many bytes follow the header.</param>
    /// <param name="file">The name that errors give to the file.</param>
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
            header.Fail(0, $"the header is not JSON (line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1})");
        }
        catch (InvalidOperationException)
        {
            // Utf8JsonReader.GetString, on an escape like \ud800 without its other half
            header.Fail(0, "the header holds a text that is not Unicode");
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
        if (reader.Read())
            Fail(reader.TokenStartIndex, "something follows the header's object");
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.StartObject, "an object of texts");
        while (NextProperty(ref reader, out string key))
        {
            Expect(ref reader, JsonTokenType.String, $"a text for {Quoted.Name(key)}");
            if (!Metadata.TryAdd(key, reader.GetString()!))
                Fail(reader.TokenStartIndex, $"the metadata {Quoted.Name(key)} occurs twice");
        }
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
                Fail(name, $"the field {Quoted.Name(key)} is not known or occurs twice", WayOut.WriteAgain);
            if (key == "dtype")
                type = ReadType(ref reader, name);
            else if (key == "shape")
                shape = ReadNumbers(ref reader, name, MaxAxes);
            else
                offsets = ReadNumbers(ref reader, name, 2);
        }
        if (type is null || shape is null || offsets is not [var begin, var end])
        {
            Fail(name, "it needs a dtype, a shape and two data_offsets", WayOut.WriteAgain);
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
            Fail(name, $"the dtype {Quoted.Name(text)} is not known", $"Convert the tensor to one of {known}");
            return default;
        }
        return type;
    }

    private long[] ReadNumbers(ref Utf8JsonReader reader, string name, int atMost)
    {
        var numbers = new List<long>();
        Expect(ref reader, JsonTokenType.StartArray, $"numbers for tensor {Quoted.Name(name)}");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
                Fail(name, "its shape and offsets must be whole numbers from 0 to 2^63-1", WayOut.FetchAgain);
            else if (numbers.Count == atMost)
                Fail(name, $"more than {atMost} numbers for its shape or its offsets", WayOut.FetchAgain);
            else
                numbers.Add(number);
        }
        return [.. numbers];
    }

    private void Add(TensorEntry entry)
    {
        if (entry.End < entry.Begin)
            Fail(entry.Name, $"it ends at {entry.End}, before it begins at {entry.Begin}", WayOut.FetchAgain);
        if (TensorEntry.BytesOf(entry.DType, entry.Shape) is not { } needed)
            Fail(entry.Name, $"{ShapeOf(entry)} takes more than 2^63 bytes", WayOut.FetchAgain);
        else if (needed != entry.Bytes)
            Fail(entry.Name, $"{entry.Bytes} bytes for {ShapeOf(entry)}, which needs {needed}", WayOut.FetchAgain);
        Tensors.Add(entry);
    }

    private static string ShapeOf(TensorEntry entry) => $"shape [{string.Join(", ", entry.Shape)}] of {entry.DType.Name()}";

    /// <summary>The tensors, in the order of their bytes, must tile the data: no overlap, no hole, nothing after the last.</summary>
    private void CheckLayout(long dataBytes)
    {
        long reached = 0;
        foreach (var entry in Tensors.OrderBy(entry => entry.Begin).ThenBy(entry => entry.End))
        {
            if (entry.End > dataBytes)
                Fail(entry.Name, $"it ends at byte {entry.End} of the data, which has {dataBytes}", WayOut.FetchAgain);
            if (entry.Begin != reached)
                Fail(entry.Name, $"it begins at byte {entry.Begin} of the data, and the tensor before ends at {reached}", WayOut.WriteAgain);
            reached = entry.End;
        }
        if (reached != dataBytes)
            InvalidFileException.Throw(file, $"byte {reached} of the data", $"{dataBytes - reached} bytes belong to no tensor", WayOut.FetchAgain);
    }

    private bool NextProperty(ref Utf8JsonReader reader, out string name)
    {
        reader.Read();
        bool property = reader.TokenType == JsonTokenType.PropertyName;
        name = property ? reader.GetString()! : "";
        return property;
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType type, string what)
    {
        if (!reader.Read() || reader.TokenType != type)
            Fail(reader.TokenStartIndex, $"expected {what}");
    }

    [DoesNotReturn]
    private void Fail(long at, string what) =>
        InvalidFileException.Throw(file, $"byte {SafetensorsFile.LengthBytes + at}", what, WayOut.FetchAgain);

    [DoesNotReturn]
    private void Fail(string tensor, string what, string wayOut) =>
        InvalidFileException.Throw(file, $"tensor {Quoted.Name(tensor)}", what, wayOut);
}
