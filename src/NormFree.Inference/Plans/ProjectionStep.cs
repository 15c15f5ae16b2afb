using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;

namespace NormFree.Inference.Plans;

/// <summary>A pooled and projected shortcut by rows: rows of the pooled map stay in cache.</summary>
internal sealed unsafe class ProjectionStep : Step
{
    private readonly PreparedProjection projection;
    private readonly PooledInput shortcut;
    private readonly MapPlace source;
    private readonly MapPlace result;
    private readonly RowCut cut;

    public ProjectionStep(PreparedProjection projection, PooledInput shortcut, MapPlace source, MapPlace result, int threads) : this(
        projection, shortcut, source, result,
        RowCut.Of(result.Size.Height, BinaryWeightConvolution.RowsPerTask(projection.Map(result.Size.Height, result.Size.Width)), threads))
    {
    }

    private ProjectionStep(PreparedProjection projection, PooledInput shortcut, MapPlace source, MapPlace result, RowCut cut) : base(cut.Tasks) =>
        (this.projection, this.shortcut, this.source, this.result, this.cut) = (projection, shortcut, source, result, cut);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = cut[task];
        var map = projection.Map(count, result.Size.Width);
        var pixels = count * result.Size.Width;
        var stride = BinaryWeightConvolution.TargetStride(map);
        var pooledValues = (long)pixels * projection.In;
        var values = (long)pixels * stride;
        var scratch = Scratch.OfThread(Bytes(3, BinaryWeightConvolution.ScratchBytes(map, count) + (pooledValues + values) * sizeof(float)));
        var pooled = scratch.Take<float>(pooledValues);
        var products = scratch.Take<float>(values);
        PoolStep.Rows(projection.Pool, shortcut, source, frame, first, count, pooled);
        projection.Product.Rows(map, 0, 0, count, pooled, null, projection.Words, scratch, products);
        var target = result.In(frame) + (long)first * result.Size.Width * projection.Out;
        projection.Factors.ScaleFloats(pixels, projection.Out, products, stride, projection.Scale, target);
    }
}
