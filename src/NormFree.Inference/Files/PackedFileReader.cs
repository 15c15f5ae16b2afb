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
        CheckFormat();
        var model = Model(ModelJson.Read(file.Name, Metadata("model")));
        tensors.End();
        if (ModelChecks.Find(model) is { } problem)
            Fail(problem.Where, problem.What, problem.Remedy ?? PackedFormat.Remedy);
        return model;
    }

    private void CheckFormat()
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
        ConvolutionJson l => new PackedConvolution(
            l.Key, l.In, l.Out, l.Kernel, l.Stride, l.Padding,
            tensors.Singles($"{l.Key}.weights", l.Out, l.In, l.Kernel, l.Kernel), tensors.Singles($"{l.Key}.bias", l.Out)),
        MaxPoolJson l => new PackedMaxPool(l.Key, l.Kernel, l.Stride, l.Padding),
        BinaryJson l => BinaryLayer(l),
        ClassifierJson l => new PackedClassifier(
            l.Key, l.In, l.Out, tensors.Singles($"{l.Key}.weights", l.Out, l.In), tensors.Singles($"{l.Key}.bias", l.Out)),
        _ => throw new ArgumentException($"Unknown layer kind {json.GetType().Name}.", nameof(json)),
    };

    private PackedBinaryLayer BinaryLayer(BinaryJson l)
    {
        int words = SignPacking.Words(l.In);
        float[] threshold = tensors.Singles($"{l.Key}.threshold", l.In);
        ulong[] signs = tensors.Words($"{l.Key}.signs", l.Out, l.Kernel, l.Kernel, words);
        float[] activation = tensors.Singles($"{l.Key}.activation", 4, l.Out);
        float[] Row(int row) => activation[(row * l.Out)..((row + 1) * l.Out)];
        return new(
            l.Key, l.In, l.Out, l.Kernel, l.Stride, l.Padding,
            threshold, signs, Row(0), Row(1), Row(2), Row(3), Shortcut(l, words));
    }

    private PackedShortcut Shortcut(BinaryJson layer, int words) => layer.Shortcut is not PooledInputJson pooled
        ? new IdentityShortcut()
        : new AveragePoolShortcut(pooled.Kernel, pooled.Factor, pooled.Projection
            ? new(tensors.Words($"{layer.Key}.projection_signs", layer.Out, words), tensors.Singles($"{layer.Key}.projection_scale", layer.Out))
            : null);

    [DoesNotReturn]
    private void Fail(string where, string what, string remedy) => throw new InvalidFileException(file.Name, where, what, remedy);
}
