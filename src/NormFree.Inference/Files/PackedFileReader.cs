using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using NormFree.Formats;
using NormFree.Formats.Safetensors;
using NormFree.Inference.Model;
using NormFree.Kernels.Bits;

namespace NormFree.Inference.Files;

/// <summary>Reads a model from an open file.</summary>
internal sealed class PackedFileReader(SafetensorsFile file)
{
    private readonly PackedTensors tensors = new(file);

    /// <summary>The model.</summary>
    /// <exception cref="InvalidFileException">The file does not contain one.</exception>
    public PackedModel Read()
    {
        PackedFormat.RequireLittleEndian();
        int version = CheckFormat();
        var json = ModelJson.Read(file.Name, Metadata("model"));
        var model = Model(json);
        tensors.End();
        if (ModelChecks.Find(model) is { } problem)
            Fail(problem);
        CheckSums(json, model);
        if (PackedFormat.VersionOf(model) is var needed && needed > version)
            Fail("metadata 'version'", $"it is version {version}, but the model needs version {needed}", PackedFormat.Remedy);
        return model;
    }

    private int CheckFormat()
    {
        string? format = file.Metadata.GetValueOrDefault("format");
        if (format != PackedFormat.Name)
            Fail(
                "metadata 'format'",
                format is null ? "it is missing, so this is not a packed network" : $"it is {Quoted.Name(format)}, not '{PackedFormat.Name}'",
                "Export a checkpoint with normfree export --format packed");
        string text = Metadata("version");
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int version) || version < 1)
            Fail("metadata 'version'", $"{Quoted.Name(text)} is not a version", PackedFormat.Remedy);
        if (version > PackedFormat.Version)
            Fail(
                "metadata 'version'", $"it is version {version}, but this NormFree reads up to version {PackedFormat.Version}",
                "Update NormFree, or export the network again with this one");
        return version;
    }

    private string Metadata(string key)
    {
        if (!file.Metadata.TryGetValue(key, out string? text))
            Fail($"metadata '{key}'", "it is missing", PackedFormat.Remedy);
        return text;
    }

    private PackedModel Model(ModelJson json) => new()
    {
        Architecture = json.Architecture,
        Height = json.Height,
        Width = json.Width,
        Mean = json.Mean,
        Deviation = json.Deviation,
        Preprocessing = [.. json.Preparation.Select(Step)],
        Classes = json.Classes,
        Layers = [.. json.Layers.Select(Layer)],
        Notes = file.Metadata.Where(text => !ModelChecks.ReservedKeys.Contains(text.Key)).ToDictionary(text => text.Key, text => text.Value),
    };

    private PreprocessingStep Step(StepJson json, int index)
    {
        int kind = Array.IndexOf(PackedFormat.PreprocessingKinds, json.Kind);
        if (kind < 0)
            Fail($"metadata 'model' at '$.preparation[{index}].kind'", $"unknown kind {Quoted.Name(json.Kind)}", PackedFormat.Remedy);
        return new((PreprocessingKind)kind, json.Height, json.Width);
    }

    private PackedLayer Layer(LayerJson json) => json switch
    {
        ConvolutionJson l => Convolution(l, l.Groups ?? 1),
        MaxPoolJson l => new PackedMaxPool(l.Key, l.Kernel, l.Stride, l.Padding),
        AffineJson l => Affine(l),
        AveragePoolJson l => new PackedAveragePool(l.Key, l.Kernel),
        FlattenJson l => new PackedFlatten(l.Key),
        AddJson l => new PackedAdd(l.Key, l.From, SumShortcut(l)),
        BinaryJson l => BinaryLayer(l),
        ClassifierJson l => new PackedClassifier(
            l.Key, l.In, l.Out, tensors.Singles($"{l.Key}.weights", l.Out, l.In), tensors.Singles($"{l.Key}.bias", l.Out)),
        _ => throw new ArgumentException($"Unknown layer kind {json.GetType().Name}.", nameof(json)),
    };

    /// <summary>If the groups are invalid, so are the weights of any shape.</summary>
    private PackedConvolution Convolution(ConvolutionJson l, int groups) => new(
        l.Key, l.In, l.Out, l.Kernel, l.Stride, l.Padding,
        tensors.Singles($"{l.Key}.weights", l.Out, groups < 1 ? l.In : l.In / groups, l.Kernel, l.Kernel), tensors.Singles($"{l.Key}.bias", l.Out), groups);

    private PackedAffine Affine(AffineJson l)
    {
        float[] values = tensors.Singles($"{l.Key}.affine", 3, l.Channels);
        float[] Row(int row) => values[(row * l.Channels)..((row + 1) * l.Channels)];
        return new(l.Key, l.Channels, Row(0), Row(1), Row(2), l.Low ?? float.NegativeInfinity, l.High ?? float.PositiveInfinity);
    }

    private PackedBinaryLayer BinaryLayer(BinaryJson l)
    {
        int words = SignPacking.Words(l.In);
        float[] threshold = tensors.Singles($"{l.Key}.threshold", l.In);
        ulong[] signs = tensors.Words($"{l.Key}.signs", l.Out, l.Kernel, l.Kernel, words);
        float[] activation = tensors.Singles($"{l.Key}.activation", 4, l.Out);
        float[] Row(int row) => activation[(row * l.Out)..((row + 1) * l.Out)];
        return new(
            l.Key, l.In, l.Out, l.Kernel, l.Stride, l.Padding,
            threshold, signs, Row(0), Row(1), Row(2), Row(3), Shortcut(l.Shortcut, l.Key, l.In, l.Out));
    }

    private AveragePoolShortcut? SumShortcut(AddJson layer)
    {
        if (layer.Shortcut is NoneJson or ConcatenatedJson)
            Fail($"layer {Quoted.Name(layer.Key)}", "its shortcut is not the input, pooled or not", PackedFormat.Remedy);
        return Shortcut(layer.Shortcut, layer.Key, layer.In, layer.Out) as AveragePoolShortcut;
    }

    private PackedShortcut Shortcut(ShortcutJson shortcut, string key, int inputs, int outputs) => shortcut switch
    {
        PooledInputJson pooled => new AveragePoolShortcut(
            pooled.Kernel, pooled.Factor, pooled.Projection ? BinaryProjection(key, inputs, outputs, false) : null),
        PooledZeroMeanJson pooled => new AveragePoolShortcut(pooled.Kernel, pooled.Factor, BinaryProjection(key, inputs, outputs, true)),
        PooledRealJson pooled => new AveragePoolShortcut(
            pooled.Kernel, pooled.Factor, new RealProjection(tensors.Singles($"{key}.projection_weights", outputs, inputs))),
        NoneJson => new NoShortcut(),
        ConcatenatedJson => new ConcatenatedShortcut(),
        _ => new IdentityShortcut(),
    };

    private BinaryProjection BinaryProjection(string key, int inputs, int outputs, bool centered) => new(
        tensors.Words($"{key}.projection_signs", outputs, SignPacking.Words(inputs)), tensors.Singles($"{key}.projection_scale", outputs), centered);

    /// <summary>Compares the channels that sums state with those of the layers before them.</summary>
    private void CheckSums(ModelJson json, PackedModel model)
    {
        var channels = new SumChannels(model);
        foreach (var (stated, layer) in json.Layers.OfType<AddJson>().Zip(model.Layers.OfType<PackedAdd>()))
            if (channels.Of(layer) is var actual && (stated.In, stated.Out) != actual)
                Fail(ModelProblem.Of(layer, $"it adds {stated.In} channels to {stated.Out}, but the layers before it produce {actual.In} and {actual.Out}"));
    }

    [DoesNotReturn]
    private void Fail(ModelProblem problem) => Fail(problem.Where, problem.What, problem.Remedy ?? PackedFormat.Remedy);

    [DoesNotReturn]
    private void Fail(string where, string what, string remedy) => throw new InvalidFileException(file.Name, where, what, remedy);
}
