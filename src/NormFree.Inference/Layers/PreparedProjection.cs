using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Bits;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>The 1×1 convolution with binary weights of a pooled shortcut.</summary>
internal sealed unsafe class PreparedProjection : IDisposable
{
    private readonly NativeBuffer<uint> words;
    private readonly NativeBuffer<float> scale;

    public PreparedProjection(int inputs, int outputs, BinaryProjection projection, InstructionSet set)
    {
        (In, Out) = (inputs, outputs);
        Pool = ScaledAveragePool.For(set);
        Product = BinaryWeightConvolution.For(set);
        Factors = ChannelScale.For(set);
        scale = new NativeBuffer<float>(outputs);
        projection.Scale.CopyTo(new Span<float>(scale.Pointer, outputs));
        words = HalfWords(projection.Signs);
    }

    /// <summary>Channels of the pooled map.</summary>
    public int In { get; }

    /// <summary>Filters.</summary>
    public int Out { get; }

    /// <summary>The average pooling before the convolution.</summary>
    public ScaledAveragePool Pool { get; }

    /// <summary>The convolution.</summary>
    public BinaryWeightConvolution Product { get; }

    /// <summary>Multiplies by the filters' scales.</summary>
    public ChannelScale Factors { get; }

    /// <summary>The filters' signs in the layout of <see cref="Product"/>.</summary>
    public uint* Words => words.Pointer;

    /// <summary>One per filter.</summary>
    public float* Scale => scale.Pointer;

    /// <summary>The convolution of <paramref name="rows"/> rows of the pooled map.</summary>
    public ConvolutionGeometry Map(int rows, int width) => new(new ConvolutionShape(1, rows, width, In, Out, 1, 1, 1, 1, 0, 0), false);

    /// <inheritdoc/>
    public void Dispose()
    {
        words.Dispose();
        scale.Dispose();
    }

    /// <summary>Transposes filters × words of 64 channels to words of 32 channels × filters.</summary>
    private NativeBuffer<uint> HalfWords(ulong[] signs)
    {
        var stride = BinaryWeightConvolution.TargetStride(Map(1, 1));
        var (halves, perFilter) = ((In + 31) / 32, SignPacking.Words(In));
        var target = new NativeBuffer<uint>((long)halves * stride).Cleared();
        for (var filter = 0; filter < Out; filter++)
            for (var half = 0; half < halves; half++)
                target.Pointer[(long)half * stride + filter] = (uint)(signs[filter * perFilter + half / 2] >> half % 2 * 32);
        return target;
    }
}
