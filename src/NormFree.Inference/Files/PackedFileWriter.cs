using System.Runtime.InteropServices;
using NormFree.Formats.Safetensors;
using NormFree.Inference.Model;
using NormFree.Kernels.Bits;

namespace NormFree.Inference.Files;

/// <summary>Converts a model to a safetensors file.</summary>
internal sealed class PackedFileWriter
{
    private readonly SafetensorsWriter writer = new();
    private readonly SumChannels channels;
    private int paddings;

    private PackedFileWriter(PackedModel model) => channels = new SumChannels(model);

    /// <summary>The file of a model.</summary>
    /// <exception cref="ArgumentException">The model is invalid.</exception>
    public static SafetensorsWriter Write(PackedModel model)
    {
        PackedFormat.RequireLittleEndian();
        ModelChecks.Require(model);
        var file = new PackedFileWriter(model);
        file.writer
            .Describe("format", PackedFormat.Name)
            .Describe("version", PackedFormat.VersionOf(model).ToString())
            .Describe("model", ModelJson.Write(model));
        foreach (var (key, text) in model.Notes)
            file.writer.Describe(key, text);
        foreach (var layer in model.Layers)
            file.Add(layer);
        return file.writer;
    }

    private void Add(PackedLayer layer)
    {
        switch (layer)
        {
            case PackedConvolution real:
                Add(real.Key, "weights", [real.Out, real.In / real.Groups, real.Kernel, real.Kernel], real.Weights);
                Add(real.Key, "bias", [real.Out], real.Bias);
                break;
            case PackedAffine affine:
                Add(affine.Key, "affine", [3, affine.Channels], [.. affine.Scale, .. affine.Bias, .. affine.Slope]);
                break;
            case PackedBinaryLayer binary:
                Add(binary);
                break;
            case PackedAdd { Pooled.Projection: { } projection } add:
                var (inputs, outputs) = channels.Of(add);
                Add(add.Key, projection, inputs, outputs);
                break;
            case PackedClassifier classifier:
                Add(classifier.Key, "weights", [classifier.Classes, classifier.In], classifier.Weights);
                Add(classifier.Key, "bias", [classifier.Classes], classifier.Bias);
                break;
        }
    }

    private void Add(PackedBinaryLayer layer)
    {
        int words = SignPacking.Words(layer.In);
        Add(layer.Key, "threshold", [layer.In], layer.Threshold);
        Add(layer.Key, "signs", [layer.Out, layer.Kernel, layer.Kernel, words], layer.Signs);
        Add(layer.Key, "activation", [4, layer.Out], [.. layer.Scale, .. layer.Bias, .. layer.Slope, .. layer.Shift]);
        if (layer.Shortcut is AveragePoolShortcut { Projection: { } projection })
            Add(layer.Key, projection, layer.In, layer.Out);
    }

    private void Add(string key, PackedProjection projection, int inputs, int outputs)
    {
        switch (projection)
        {
            case BinaryProjection binary:
                Add(key, "projection_signs", [outputs, SignPacking.Words(inputs)], binary.Signs);
                Add(key, "projection_scale", [outputs], binary.Scale);
                break;
            case RealProjection real:
                Add(key, "projection_weights", [outputs, inputs], real.Weights);
                break;
        }
    }

    private void Add(string key, string name, ReadOnlySpan<long> shape, float[] values) =>
        Add($"{key}.{name}", DType.F32, shape, MemoryMarshal.AsBytes(values.AsSpan()));

    private void Add(string key, string name, ReadOnlySpan<long> shape, ulong[] words) =>
        Add($"{key}.{name}", DType.U64, shape, MemoryMarshal.AsBytes(words.AsSpan()));

    /// <summary>Adds a tensor, and a padding tensor up to the alignment, as safetensors does not allow gaps.</summary>
    private void Add(string name, DType type, ReadOnlySpan<long> shape, ReadOnlySpan<byte> bytes)
    {
        writer.Add(name, type, shape, bytes.ToArray());
        int over = bytes.Length % PackedFormat.Alignment;
        if (over == 0)
            return;
        int missing = PackedFormat.Alignment - over;
        writer.Add($"{PackedFormat.Padding}{paddings++}", DType.U8, [missing], new byte[missing]);
    }
}
