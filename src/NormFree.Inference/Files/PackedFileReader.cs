using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using NormFree.Formats;
using NormFree.Formats.Safetensors;
using NormFree.Inference.Model;
using NormFree.Kernels.Bits;

namespace NormFree.Inference.Files;

/// <summary>Makes a model of an open file.</summary>
internal sealed class PackedFileReader(SafetensorsFile file)
{
    /// <summary>The model's JSON has objects in an array in an object, and one object in each of them.</summary>
    private const int MaxDepth = 8;

    private readonly PackedTensors tensors = new(file);
    private int version;

    /// <summary>The model.</summary>
    /// <exception cref="InvalidFileException">The file does not hold one.</exception>
    public PackedModel Read()
    {
        PackedFormat.RequireLittleEndian();
        version = CheckFormat();
        var model = Parse();
        tensors.End();
        if (ModelChecks.Find(model) is { } problem)
            Fail(problem.Where, problem.What, PackedFormat.WayOut);
        return model;
    }

    /// <summary>The file's version.</summary>
    private int CheckFormat()
    {
        string? format = file.Metadata.GetValueOrDefault("format");
        if (format != PackedFormat.Name)
            Fail(
                "metadata 'format'",
                format is null ? "it is missing, so that this is no packed network" : $"it is {Quoted.Name(format)}, not '{PackedFormat.Name}'",
                "Make a packed file of a checkpoint with normfree export --format packed");
        string text = Metadata("version");
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int found) || found < 1)
            Fail("metadata 'version'", $"it is {Quoted.Name(text)}, which is no version", PackedFormat.WayOut);
        if (found > PackedFormat.Version)
            Fail(
                "metadata 'version'", $"it is version {found}, and this NormFree reads up to version {PackedFormat.Version}",
                "Update NormFree, or export the network again with this one");
        return found;
    }

    private string Metadata(string key)
    {
        if (!file.Metadata.TryGetValue(key, out string? text))
            Fail($"metadata '{key}'", "it is missing", PackedFormat.WayOut);
        return text;
    }

    private PackedModel Parse()
    {
        const string where = "metadata 'model'";
        try
        {
            using var document = JsonDocument.Parse(Metadata("model"), new JsonDocumentOptions { MaxDepth = MaxDepth });
            return Model(new JsonFields(file.Name, where, document.RootElement));
        }
        catch (JsonException e)
        {
            Fail(where, $"it is not JSON (line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1})", PackedFormat.WayOut);
        }
        catch (InvalidOperationException)
        {
            // JsonElement.GetString, on an escape like \ud800 without its other half
            Fail(where, "it holds a text that is not Unicode", PackedFormat.WayOut);
        }
        return null;
    }

    private PackedModel Model(JsonFields fields)
    {
        var model = new PackedModel
        {
            Architecture = fields.Text("architecture"),
            Height = fields.Number("height"),
            Width = fields.Number("width"),
            Mean = fields.Reals("mean"),
            Deviation = fields.Reals("deviation"),
            Preparation = [.. fields.Objects("preparation").Select((step, i) => Step(new JsonFields(file.Name, $"metadata 'model', preparation {i}", step)))],
            Classes = fields.Texts("classes"),
            Layers = [.. fields.Objects("layers").Select((layer, i) => Layer(new JsonFields(file.Name, $"metadata 'model', layer {i}", layer)))],
            Notes = file.Metadata.Where(text => !ModelChecks.Reserved.Contains(text.Key)).ToDictionary(text => text.Key, text => text.Value),
        };
        fields.End();
        return model;
    }

    private static ImageStep Step(JsonFields fields)
    {
        string text = fields.Text("kind");
        var kind = text switch
        {
            PackedFormat.Cover => ImageStepKind.Cover,
            PackedFormat.Resize => ImageStepKind.Resize,
            PackedFormat.CentreCrop => ImageStepKind.CentreCrop,
            _ => throw fields.Error($"there is no step of kind {Quoted.Name(text)}"),
        };
        var step = new ImageStep(kind, fields.Number("height"), fields.Number("width"));
        fields.End();
        return step;
    }

    private PackedLayer Layer(JsonFields fields)
    {
        string kind = fields.Text("kind"), key = fields.Text("key");
        PackedLayer layer = kind switch
        {
            PackedFormat.Convolution => Convolution(fields, key),
            PackedFormat.MaxPool => new MaxPool(key, fields.Number("kernel"), fields.Number("stride"), fields.Number("padding")),
            PackedFormat.Binary => Binary(fields, key),
            PackedFormat.Classifier => Classifier(fields, key),
            _ => throw fields.Error($"there is no layer of kind {Quoted.Name(kind)}"),
        };
        fields.End();
        return layer;
    }

    private RealConvolution Convolution(JsonFields fields, string key)
    {
        int inputs = fields.Number("in"), filters = fields.Number("out"), kernel = fields.Number("kernel");
        return new(
            key, inputs, filters, kernel, fields.Number("stride"), fields.Number("padding"),
            tensors.Singles($"{key}.weights", filters, inputs, kernel, kernel), tensors.Singles($"{key}.bias", filters));
    }

    private Classifier Classifier(JsonFields fields, string key)
    {
        int inputs = fields.Number("in"), classes = fields.Number("out");
        return new(key, inputs, classes, tensors.Singles($"{key}.weights", classes, inputs), tensors.Singles($"{key}.bias", classes));
    }

    private BinaryLayer Binary(JsonFields fields, string key)
    {
        int inputs = fields.Number("in"), filters = fields.Number("out"), kernel = fields.Number("kernel");
        int words = SignPacking.Words(inputs);
        float[] threshold = tensors.Singles($"{key}.threshold", inputs);
        ulong[] signs = tensors.Words($"{key}.signs", filters, kernel, kernel, words);
        float[] activation = tensors.Singles($"{key}.activation", 4, filters);
        float[] Row(int row) => activation[(row * filters)..((row + 1) * filters)];
        return new(
            key, inputs, filters, kernel, fields.Number("stride"), fields.Number("padding"),
            threshold, signs, Row(0), Row(1), Row(2), Row(3), Shortcut(fields.Object("shortcut"), key, inputs, filters));
    }

    private Shortcut Shortcut(JsonFields fields, string key, int inputs, int filters)
    {
        string kind = fields.Text("kind");
        Shortcut shortcut = kind switch
        {
            PackedFormat.Input => new RepeatedInput(),
            PackedFormat.PooledInput => new PooledInput(
                fields.Number("kernel"), fields.Real("factor"), Projection(fields, key, inputs, filters)),
            _ => throw fields.Error($"there is no shortcut of kind {Quoted.Name(kind)}"),
        };
        fields.End();
        return shortcut;
    }

    private Projection? Projection(JsonFields fields, string key, int inputs, int filters)
    {
        string kind = version < PackedFormat.KindsOfProjections
            ? fields.Truth("projection") ? PackedFormat.BinaryFilters : PackedFormat.NoProjection
            : fields.Text("projection");
        return kind switch
        {
            PackedFormat.NoProjection => null,
            PackedFormat.BinaryFilters => BinaryProjection(key, inputs, filters, centered: false),
            PackedFormat.ZeroMeanFilters => BinaryProjection(key, inputs, filters, centered: true),
            PackedFormat.RealFilters => new RealProjection(tensors.Singles($"{key}.projection_weights", filters, inputs)),
            _ => throw fields.Error($"there is no projection of kind {Quoted.Name(kind)}"),
        };
    }

    private BinaryProjection BinaryProjection(string key, int inputs, int filters, bool centered) =>
        new(
            tensors.Words($"{key}.projection_signs", filters, SignPacking.Words(inputs)), tensors.Singles($"{key}.projection_scale", filters),
            centered);

    [DoesNotReturn]
    private void Fail(string where, string what, string wayOut) => throw new InvalidFileException(file.Name, where, what, wayOut);
}
