using NormFree.Inference.Model;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A shortcut's 1×1 convolution with real filters.</summary>
internal sealed unsafe class PreparedRealProjection : PreparedProjection
{
    /// <summary>Values of the pooled map that a task reads: they stay in the second-level cache.</summary>
    private const long ValuesOfTask = 32 << 10;

    private readonly RealFilters filters;

    public PreparedRealProjection(int inputs, int outputs, RealProjection projection, InstructionSet set) : base(inputs, outputs, set)
    {
        var shape = new ConvolutionShape(1, 1, 1, inputs, outputs, 1, 1, 1, 1, 0, 0);
        // What it adds is in the layer's bias.
        var zeros = new float[outputs];
        fixed (float* weights = projection.Weights, bias = zeros) filters = RealFilters.Create(set, shape, weights, bias);
    }

    /// <inheritdoc/>
    public override long RowsOfTask(int height, int width) => Math.Max(1, ValuesOfTask / ((long)width * In));

    /// <inheritdoc/>
    public override long ScratchBytes(int rows, int width) => filters.ScratchBytes(width, rows);

    /// <inheritdoc/>
    public override void Rows(int rows, int width, float* pooled, Scratch scratch, float* target) =>
        filters.Rows(RealMap.ChannelsLast(pooled, rows, width, In), 0, rows, scratch, target);

    /// <inheritdoc/>
    public override void Dispose() => filters.Dispose();
}
