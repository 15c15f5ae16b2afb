using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Bits;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A shortcut's 1×1 convolution with binary filters, of the pooled map or of the map less the mean of its channels.</summary>
internal sealed unsafe class PreparedBinaryProjection : PreparedProjection
{
    private readonly SignFilterProduct product;
    private readonly ChannelScale factors;
    private readonly ChannelCentering? centering;
    private readonly NativeBuffer<uint> words;
    private readonly NativeBuffer<float> scale;

    public PreparedBinaryProjection(int inputs, int outputs, BinaryProjection projection, InstructionSet set) : base(inputs, outputs, set)
    {
        product = SignFilterProduct.For(set);
        factors = ChannelScale.For(set);
        if (projection.Centered) centering = ChannelCentering.For(set);
        scale = new NativeBuffer<float>(outputs);
        projection.Scale.CopyTo(new Span<float>(scale.Pointer, outputs));
        words = HalfWords(projection.Signs);
    }

    /// <inheritdoc/>
    public override long RowsOfTask(int height, int width) => SignFilterProduct.RowsOfTask(Map(height, width));

    /// <inheritdoc/>
    public override long ScratchBytes(int rows, int width)
    {
        var map = Map(rows, width);
        return SignFilterProduct.ScratchBytes(map, rows) + (long)rows * width * SignFilterProduct.TargetStride(map) * sizeof(float) + 128;
    }

    /// <inheritdoc/>
    public override void Rows(int rows, int width, float* pooled, Scratch scratch, float* target)
    {
        var map = Map(rows, width);
        var (pixels, stride) = (rows * width, SignFilterProduct.TargetStride(map));
        var products = scratch.Take<float>((long)pixels * stride);
        centering?.Pixels(pixels, In, pooled);
        product.Rows(map, 0, 0, rows, pooled, null, words.Pointer, scratch, products);
        factors.Values(pixels, Out, products, stride, scale.Pointer, target);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        words.Dispose();
        scale.Dispose();
    }

    /// <summary>The convolution of so many rows of the pooled map.</summary>
    private PixelMap Map(int rows, int width) => new(new ConvolutionShape(1, rows, width, In, Out, 1, 1, 1, 1, 0, 0), false);

    /// <summary>From words of 64 channels, filter by filter, to words of 32 channels, all filters side by side.</summary>
    private NativeBuffer<uint> HalfWords(ulong[] signs)
    {
        var stride = SignFilterProduct.TargetStride(Map(1, 1));
        var (halves, perFilter) = ((In + 31) / 32, SignPacking.Words(In));
        var target = new NativeBuffer<uint>((long)halves * stride).Cleared();
        for (var filter = 0; filter < Out; filter++)
            for (var half = 0; half < halves; half++)
                target.Pointer[(long)half * stride + filter] = (uint)(signs[filter * perFilter + half / 2] >> half % 2 * 32);
        return target;
    }
}
