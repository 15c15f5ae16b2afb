using NormFree.Inference.Layers;
using NormFree.Kernels.Activations;

namespace NormFree.Inference.Plans;

/// <summary>An affine layer. The output may be the input.</summary>
internal sealed unsafe class AffineStep(PreparedAffine layer, MapBuffer input, MapBuffer output, SignWriter signs, int threads)
    : RowStep(output, signs, RowPartition.Of(output.Size, threads))
{
    /// <inheritdoc/>
    protected override void Rows(in Frame frame, int first, int count, float* target)
    {
        var (_, width, channels) = input.Size;
        layer.Apply(count * width, input.In(frame) + (long)first * width * channels, target);
    }
}

/// <summary>A sum of a map and a shortcut of the same height and width. The output may be the map.</summary>
internal sealed unsafe class AddStep(MapAddition addition, MapBuffer input, MapBuffer shortcut, MapBuffer output, SignWriter signs, int threads)
    : RowStep(output, signs, RowPartition.Of(output.Size, threads))
{
    /// <inheritdoc/>
    protected override void Rows(in Frame frame, int first, int count, float* target)
    {
        var (_, width, channels) = input.Size;
        var firstPixel = (long)first * width;
        addition.Add(
            count * width, channels, input.In(frame) + firstPixel * channels, shortcut.In(frame) + firstPixel * shortcut.Size.Channels,
            shortcut.Size.Channels, target);
    }
}

/// <summary>Copies a map to the first channels of a larger one, whose other channels a step before has written.</summary>
internal sealed unsafe class ConcatenateStep(MapBuffer input, MapBuffer output, SignWriter signs, int threads)
    : RowStep(output, signs, RowPartition.Of(output.Size, threads))
{
    /// <inheritdoc/>
    protected override void Rows(in Frame frame, int first, int count, float* target)
    {
        var (_, width, channels) = input.Size;
        var source = input.In(frame) + (long)first * width * channels;
        for (var pixel = 0; pixel < count * width; pixel++, source += channels, target += Output.Size.Channels)
            new Span<float>(source, channels).CopyTo(new Span<float>(target, channels));
    }
}
