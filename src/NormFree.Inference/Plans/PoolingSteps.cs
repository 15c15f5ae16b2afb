using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>A max-pool.</summary>
internal sealed unsafe class MaxPoolStep(
    MaxPooling pooling, ConvolutionShape shape, MapBuffer input, MapBuffer output, SignWriter signs, int threads)
    : RowStep(output, signs, RowPartition.Of(output.Size, threads))
{
    /// <inheritdoc/>
    protected override void Rows(in Frame frame, int first, int count, float* target) => pooling.Rows(shape, first, count, input.In(frame), target);
}

/// <summary>Average pooling: a layer, or a shortcut without projection.</summary>
internal sealed unsafe class AveragePoolStep(
    ScaledAveragePool pool, AveragePoolShortcut shortcut, MapBuffer input, MapBuffer output, SignWriter signs, int threads)
    : RowStep(output, signs, RowPartition.Of(output.Size, threads))
{
    /// <inheritdoc/>
    protected override void Rows(in Frame frame, int first, int count, float* target) => PoolRows(pool, shortcut, input, frame, first, count, target);

    /// <summary>Computes rows of the pooled map.</summary>
    public static void PoolRows(ScaledAveragePool pool, AveragePoolShortcut shortcut, MapBuffer input, in Frame frame, int first, int count, float* target)
    {
        var (_, width, channels) = input.Size;
        var source = input.In(frame) + (long)first * shortcut.Kernel * width * channels;
        for (var row = 0; row < count; row++)
        {
            pool.Forward(width, channels, shortcut.Kernel, shortcut.Factor, source, target);
            source += (long)shortcut.Kernel * width * channels;
            target += (long)(width / shortcut.Kernel) * channels;
        }
    }
}

/// <summary>A pooled shortcut with a projection. A task is a range of rows, so that the pooled rows stay in the cache.</summary>
internal sealed unsafe class ProjectionStep : Step
{
    private readonly PreparedProjection projection;
    private readonly AveragePoolShortcut shortcut;
    private readonly MapBuffer input;
    private readonly MapBuffer output;
    private readonly RowPartition rows;

    public ProjectionStep(PreparedProjection projection, AveragePoolShortcut shortcut, MapBuffer input, MapBuffer output, int threads) : this(
        projection, shortcut, input, output,
        RowPartition.Of(output.Size.Height, projection.RowsPerTask(output.Size.Height, output.Size.Width), threads))
    {
    }

    private ProjectionStep(
        PreparedProjection projection, AveragePoolShortcut shortcut, MapBuffer input, MapBuffer output, RowPartition rows) : base(rows.Tasks) =>
        (this.projection, this.shortcut, this.input, this.output, this.rows) = (projection, shortcut, input, output, rows);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = rows[task];
        var width = output.Size.Width;
        var values = (long)count * width * projection.In;
        var scratch = Scratch.OfThread(ScratchBytes(1, values * sizeof(float) + projection.ScratchBytes(count, width)));
        var pooled = scratch.Take<float>(values);
        AveragePoolStep.PoolRows(projection.Pool, shortcut, input, frame, first, count, pooled);
        projection.Rows(count, width, pooled, scratch, output.In(frame) + (long)first * width * projection.Out);
    }
}
