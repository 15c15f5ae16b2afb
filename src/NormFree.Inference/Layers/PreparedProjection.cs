using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Bits;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>The 1×1 convolution of a pooled shortcut.</summary>
internal abstract unsafe class PreparedProjection(int inputs, int outputs, InstructionSet set) : IDisposable
{
    /// <summary>Channels of the pooled map.</summary>
    public int In => inputs;

    /// <summary>Filters.</summary>
    public int Out => outputs;

    /// <summary>The average pooling before the convolution.</summary>
    public ScaledAveragePool Pool { get; } = ScaledAveragePool.For(set);

    /// <summary>Prepares a projection for an instruction set.</summary>
    public static PreparedProjection From(int inputs, int outputs, PackedProjection projection, InstructionSet set) => projection switch
    {
        BinaryProjection binary => new PreparedBinaryProjection(inputs, outputs, binary, set),
        RealProjection real => new PreparedRealProjection(inputs, outputs, real, set),
        _ => throw new ArgumentException($"Unknown projection kind {projection.GetType().Name}.", nameof(projection)),
    };

    /// <summary>Rows of a task, at most: what they share should stay in the cache.</summary>
    public abstract long RowsPerTask(int height, int width);

    /// <summary>Bytes of scratch that <see cref="Rows"/> takes.</summary>
    public abstract long ScratchBytes(int rows, int width);

    /// <summary>Computes rows of the output.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="width">Pixels per row.</param>
    /// <param name="pooled">rows × width × In; may be overwritten.</param>
    /// <param name="scratch">Holds at least <see cref="ScratchBytes"/>.</param>
    /// <param name="target">rows × width × Out.</param>
    public abstract void Rows(int rows, int width, float* pooled, Scratch scratch, float* target);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>A projection with binary weights.</summary>
internal sealed unsafe class PreparedBinaryProjection : PreparedProjection
{
    private readonly BinaryWeightConvolution product;
    private readonly ChannelScale factors;
    private readonly ChannelCentering? centering;
    private readonly NativeBuffer<uint> words;
    private readonly NativeBuffer<float> scale;

    public PreparedBinaryProjection(int inputs, int outputs, BinaryProjection projection, InstructionSet set) : base(inputs, outputs, set)
    {
        product = BinaryWeightConvolution.For(set);
        factors = ChannelScale.For(set);
        centering = projection.Centered ? ChannelCentering.For(set) : null;
        scale = new NativeBuffer<float>(outputs);
        projection.Scale.CopyTo(new Span<float>(scale.Pointer, outputs));
        words = HalfWords(projection.Signs);
    }

    /// <inheritdoc/>
    public override long RowsPerTask(int height, int width) => BinaryWeightConvolution.RowsPerTask(Map(height, width));

    /// <inheritdoc/>
    public override long ScratchBytes(int rows, int width)
    {
        var map = Map(rows, width);
        var products = (long)rows * width * BinaryWeightConvolution.TargetStride(map);
        return BinaryWeightConvolution.ScratchBytes(map, rows) + products * sizeof(float) + 128;
    }

    /// <inheritdoc/>
    public override void Rows(int rows, int width, float* pooled, Scratch scratch, float* target)
    {
        var map = Map(rows, width);
        var (pixels, stride) = (rows * width, BinaryWeightConvolution.TargetStride(map));
        var products = scratch.Take<float>((long)pixels * stride);
        centering?.Center(pixels, In, pooled);
        product.Rows(map, 0, 0, rows, pooled, null, words.Pointer, scratch, products);
        factors.ScaleFloats(pixels, Out, products, stride, scale.Pointer, target);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        words.Dispose();
        scale.Dispose();
    }

    /// <summary>The convolution of <paramref name="rows"/> rows of the pooled map.</summary>
    private ConvolutionGeometry Map(int rows, int width) => new(new ConvolutionShape(1, rows, width, In, Out, 1, 1, 1, 1, 0, 0), false);

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

/// <summary>A projection with real weights.</summary>
internal sealed unsafe class PreparedRealProjection : PreparedProjection
{
    /// <summary>Values of the pooled map per task: they stay in the second-level cache.</summary>
    private const long ValuesPerTask = 32 << 10;

    private readonly RealFilters filters;

    public PreparedRealProjection(int inputs, int outputs, RealProjection projection, InstructionSet set) : base(inputs, outputs, set)
    {
        var shape = new ConvolutionShape(1, 1, 1, inputs, outputs, 1, 1, 1, 1, 0, 0);
        // The bias is part of the layer's.
        var zeros = new float[outputs];
        fixed (float* weights = projection.Weights, bias = zeros) filters = RealFilters.Create(set, shape, weights, bias);
    }

    /// <inheritdoc/>
    public override long RowsPerTask(int height, int width) => Math.Max(1, ValuesPerTask / ((long)width * In));

    /// <inheritdoc/>
    public override long ScratchBytes(int rows, int width) => filters.ScratchBytes(width, rows);

    /// <inheritdoc/>
    public override void Rows(int rows, int width, float* pooled, Scratch scratch, float* target) =>
        filters.Rows(RealMap.ChannelsLast(pooled, rows, width, In), 0, rows, scratch, target);

    /// <inheritdoc/>
    public override void Dispose() => filters.Dispose();
}
