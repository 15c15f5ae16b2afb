using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using NormFree.Formats;
using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>The metadata field <c>model</c> of a packed file: a model without its tensors.</summary>
internal sealed record ModelJson(
    string Architecture, int Height, int Width, float[] Mean, float[] Deviation, StepJson[] Preparation, string[] Classes, LayerJson[] Layers)
{
    /// <summary>Metadata text of a model, on one line.</summary>
    public static string Write(PackedModel model) => JsonSerializer.Serialize(Of(model), ModelJsonContext.Strict.ModelJson);

    /// <summary>Parses the text strictly: each field exactly once, in its type, and no others.</summary>
    /// <exception cref="InvalidFileException">The text is not such a model.</exception>
    public static ModelJson Read(string file, string text)
    {
        try
        {
            var model = JsonSerializer.Deserialize(text, ModelJsonContext.Strict.ModelJson);
            if (model is not null && !model.Classes.Contains(null) && !model.Layers.Contains(null) && !model.Preparation.Contains(null))
                return model;
            throw new JsonException("A model, class, layer or preprocessing step is null.");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or InvalidOperationException)
        {
            // NotSupportedException: a layer or shortcut without kind. InvalidOperationException: half a surrogate pair.
            throw new InvalidFileException(file, Place(e), $"it does not match the format ({Reason(e.Message)})", PackedFormat.Remedy);
        }
    }

    /// <summary>The JSON path of the error, for example <c>$.layers[2].stride</c>. Some exceptions have it only at the end of their message.</summary>
    private static string Place(Exception error)
    {
        const string Mark = " Path: ";
        int at = error.Message.LastIndexOf(Mark, StringComparison.Ordinal);
        string? path = (error as JsonException)?.Path ?? (at < 0 ? null : error.Message[(at + Mark.Length)..].Split(" | ")[0]);
        return path is null ? "metadata 'model'" : $"metadata 'model' at {Quoted.Name(path)}";
    }

    /// <summary>The first sentence of the message, without namespaces. It may quote names of the file, which are escaped.</summary>
    private static string Reason(string message)
    {
        const int Longest = 200;
        string reason = message.Split(". ")[0].Replace(typeof(ModelJson).Namespace + ".", "").TrimEnd('.');
        return Printable.Text(reason[..Math.Min(reason.Length, Longest)]);
    }

    private static ModelJson Of(PackedModel model) => new(
        model.Architecture, model.Height, model.Width, [.. model.Mean], [.. model.Deviation],
        [.. model.Preprocessing.Select(step => new StepJson(PackedFormat.PreprocessingKinds[(int)step.Kind], step.Height, step.Width))],
        [.. model.Classes], LayersOf(model));

    private static LayerJson[] LayersOf(PackedModel model)
    {
        var channels = new SumChannels(model);
        return [.. model.Layers.Select(layer => layer is PackedAdd add ? Of(add, channels) : Of(layer))];
    }

    private static AddJson Of(PackedAdd layer, SumChannels channels)
    {
        var (inputs, outputs) = channels.Of(layer);
        return new AddJson(layer.Key, layer.From, inputs, outputs, layer.Pooled is { } pooled ? Of(pooled) : new InputJson());
    }

    private static LayerJson Of(PackedLayer layer) => layer switch
    {
        PackedConvolution l => new ConvolutionJson(l.Key, l.In, l.Out, l.Kernel, l.Stride, l.Padding, l.Groups == 1 ? null : l.Groups),
        PackedMaxPool l => new MaxPoolJson(l.Key, l.Kernel, l.Stride, l.Padding),
        PackedAffine l => new AffineJson(l.Key, l.Channels, Bound(l.Low), Bound(l.High)),
        PackedAveragePool l => new AveragePoolJson(l.Key, l.Kernel),
        PackedFlatten l => new FlattenJson(l.Key),
        PackedBinaryLayer l => new BinaryJson(l.Key, l.In, l.Out, l.Kernel, l.Stride, l.Padding, Of(l.Shortcut)),
        PackedClassifier l => new ClassifierJson(l.Key, l.In, l.Classes),
        _ => throw new ArgumentException($"Unknown layer kind {layer.GetType().Name}.", nameof(layer)),
    };

    private static float? Bound(float value) => float.IsInfinity(value) ? null : value;

    private static ShortcutJson Of(PackedShortcut shortcut) => shortcut switch
    {
        NoShortcut => new NoneJson(),
        ConcatenatedShortcut => new ConcatenatedJson(),
        AveragePoolShortcut { Projection: RealProjection } pooled => new PooledRealJson(pooled.Kernel, pooled.Factor),
        AveragePoolShortcut { Projection: BinaryProjection { Centered: true } } pooled => new PooledZeroMeanJson(pooled.Kernel, pooled.Factor),
        AveragePoolShortcut pooled => new PooledInputJson(pooled.Kernel, pooled.Factor, pooled.Projection is not null),
        _ => new InputJson(),
    };
}

/// <summary>A preprocessing step.</summary>
internal sealed record StepJson(string Kind, int Height, int Width);

/// <summary>A layer; the field <c>kind</c> selects the derived type.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(ConvolutionJson), "convolution")]
[JsonDerivedType(typeof(MaxPoolJson), "max-pool")]
[JsonDerivedType(typeof(AffineJson), "affine")]
[JsonDerivedType(typeof(AveragePoolJson), "average-pool")]
[JsonDerivedType(typeof(FlattenJson), "flatten")]
[JsonDerivedType(typeof(BinaryJson), "binary")]
[JsonDerivedType(typeof(AddJson), "add")]
[JsonDerivedType(typeof(ClassifierJson), "classifier")]
internal abstract record LayerJson([property: JsonPropertyOrder(-1)] string Key);

/// <remarks>Groups since version 2; missing for 1.</remarks>
internal sealed record ConvolutionJson(
    string Key, int In, int Out, int Kernel, int Stride, int Padding,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull), JsonConverter(typeof(OptionalInt))] int? Groups = null) : LayerJson(Key);

internal sealed record MaxPoolJson(string Key, int Kernel, int Stride, int Padding) : LayerJson(Key);

/// <summary>Since version 2. A bound that is missing is infinite.</summary>
internal sealed record AffineJson(
    string Key, int Channels,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull), JsonConverter(typeof(OptionalFloat))] float? Low = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull), JsonConverter(typeof(OptionalFloat))] float? High = null) : LayerJson(Key);

/// <summary>Since version 2.</summary>
internal sealed record AveragePoolJson(string Key, int Kernel) : LayerJson(Key);

/// <summary>Since version 2.</summary>
internal sealed record FlattenJson(string Key) : LayerJson(Key);

/// <summary>Since version 2. In is the channels of the input of layer From, Out those of this layer; the shortcut is the input, pooled or not.</summary>
internal sealed record AddJson(string Key, string From, int In, int Out, ShortcutJson Shortcut) : LayerJson(Key);

internal sealed record BinaryJson(string Key, int In, int Out, int Kernel, int Stride, int Padding, ShortcutJson Shortcut) : LayerJson(Key);

internal sealed record ClassifierJson(string Key, int In, int Out) : LayerJson(Key);

/// <summary>A shortcut; the field <c>kind</c> selects the derived type.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(InputJson), "input")]
[JsonDerivedType(typeof(PooledInputJson), "pooled-input")]
[JsonDerivedType(typeof(PooledZeroMeanJson), "pooled-zero-mean")]
[JsonDerivedType(typeof(PooledRealJson), "pooled-real")]
[JsonDerivedType(typeof(NoneJson), "none")]
[JsonDerivedType(typeof(ConcatenatedJson), "concatenated")]
internal abstract record ShortcutJson;

internal sealed record InputJson : ShortcutJson;

internal sealed record PooledInputJson(int Kernel, float Factor, bool Projection) : ShortcutJson;

/// <summary>A projection with zero-mean binary weights; since version 2.</summary>
internal sealed record PooledZeroMeanJson(int Kernel, float Factor) : ShortcutJson;

/// <summary>A projection with real weights; since version 2.</summary>
internal sealed record PooledRealJson(int Kernel, float Factor) : ShortcutJson;

/// <summary>No shortcut; since version 2.</summary>
internal sealed record NoneJson : ShortcutJson;

/// <summary>Concatenation; since version 2.</summary>
internal sealed record ConcatenatedJson : ShortcutJson;

/// <summary>Reads a field that may be missing, but not null.</summary>
internal sealed class OptionalInt : JsonConverter<int?>
{
    public override bool HandleNull => true;

    public override int? Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options) => reader.GetInt32();

    public override void Write(Utf8JsonWriter writer, int? value, JsonSerializerOptions options) => writer.WriteNumberValue(value!.Value);
}

/// <summary>Reads a field that may be missing, but not null.</summary>
internal sealed class OptionalFloat : JsonConverter<float?>
{
    public override bool HandleNull => true;

    public override float? Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options) => reader.GetSingle();

    public override void Write(Utf8JsonWriter writer, float? value, JsonSerializerOptions options) => writer.WriteNumberValue(value!.Value);
}

/// <summary>Source-generated serialisation, which needs no reflection and thus compiles ahead of time.</summary>
[JsonSerializable(typeof(ModelJson))]
internal sealed partial class ModelJsonContext : JsonSerializerContext
{
    /// <summary>Accepts each field exactly once and no others; writes non-ASCII names as they are.</summary>
    public static ModelJsonContext Strict { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
        AllowOutOfOrderMetadataProperties = true,
        MaxDepth = 8,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
