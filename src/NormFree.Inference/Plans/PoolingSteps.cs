using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Plans;

/// <summary>A max-pool and the signs of its output; a task is a range of rows.</summary>
internal sealed unsafe class MaxPoolStep : Step
{
    private readonly MaxPooling pooling;
    private readonly ConvolutionShape shape;
    private readonly MapBuffer input;
    private readonly MapBuffer output;
    private readonly SignWriter signs;
    private readonly RowPartition rows;

    public MaxPoolStep(MaxPooling pooling, in ConvolutionShape shape, MapBuffer input, MapBuffer output, SignWriter signs, int threads)
        : this(pooling, shape, input, output, signs, RowPartition.Of(output.Size, threads))
    {
    }

    private MaxPoolStep(
        MaxPooling pooling, in ConvolutionShape shape, MapBuffer input, MapBuffer output, SignWriter signs, RowPartition rows) : base(rows.Tasks) =>
        (this.pooling, this.shape, this.input, this.output, this.signs, this.rows) = (pooling, shape, input, output, signs, rows);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = rows[task];
        var width = output.Size.Width;
        pooling.Rows(shape, first, count, input.In(frame), output.In(frame) + (long)first * width * output.Size.Channels);
        signs.Pack(frame, output, first * width, count * width);
    }
}

/// <summary>A pooled shortcut; a task is a range of rows.</summary>
internal sealed unsafe class AveragePoolStep : Step
{
    private readonly ScaledAveragePool pool;
    private readonly AveragePoolShortcut shortcut;
    private readonly MapBuffer input;
    private readonly MapBuffer output;
    private readonly RowPartition rows;

    public AveragePoolStep(InstructionSet set, AveragePoolShortcut shortcut, MapBuffer input, MapBuffer output, int threads)
        : this(ScaledAveragePool.For(set), shortcut, input, output, RowPartition.Of(output.Size, threads))
    {
    }

    private AveragePoolStep(ScaledAveragePool pool, AveragePoolShortcut shortcut, MapBuffer input, MapBuffer output, RowPartition rows) : base(rows.Tasks) =>
        (this.pool, this.shortcut, this.input, this.output, this.rows) = (pool, shortcut, input, output, rows);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = rows[task];
        PoolRows(pool, shortcut, input, frame, first, count, output.In(frame) + (long)first * output.Size.Width * output.Size.Channels);
    }

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
        RowPartition.Of(output.Size.Height, BinaryWeightConvolution.RowsPerTask(projection.Map(output.Size.Height, output.Size.Width)), threads))
    {
    }

    private ProjectionStep(
        PreparedProjection projection, AveragePoolShortcut shortcut, MapBuffer input, MapBuffer output, RowPartition rows) : base(rows.Tasks) =>
        (this.projection, this.shortcut, this.input, this.output, this.rows) = (projection, shortcut, input, output, rows);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = rows[task];
        var map = projection.Map(count, output.Size.Width);
        var pixels = count * output.Size.Width;
        var stride = BinaryWeightConvolution.TargetStride(map);
        var pooledValues = (long)pixels * projection.In;
        var values = (long)pixels * stride;
        var scratch = Scratch.OfThread(ScratchBytes(3, BinaryWeightConvolution.ScratchBytes(map, count) + (pooledValues + values) * sizeof(float)));
        var pooled = scratch.Take<float>(pooledValues);
        var products = scratch.Take<float>(values);
        AveragePoolStep.PoolRows(projection.Pool, shortcut, input, frame, first, count, pooled);
        projection.Product.Rows(map, 0, 0, count, pooled, null, projection.Words, scratch, products);
        var target = output.In(frame) + (long)first * output.Size.Width * projection.Out;
        projection.Factors.ScaleFloats(pixels, projection.Out, products, stride, projection.Scale, target);
    }
}
