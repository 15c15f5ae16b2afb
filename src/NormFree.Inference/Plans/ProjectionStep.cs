using NormFree.Inference.Layers;
using NormFree.Inference.Model;
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
        RowCut.Of(result.Size.Height, projection.RowsOfTask(result.Size.Height, result.Size.Width), threads))
    {
    }

    private ProjectionStep(PreparedProjection projection, PooledInput shortcut, MapPlace source, MapPlace result, RowCut cut) : base(cut.Tasks) =>
        (this.projection, this.shortcut, this.source, this.result, this.cut) = (projection, shortcut, source, result, cut);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = cut[task];
        var width = result.Size.Width;
        var values = (long)count * width * projection.In;
        var scratch = Scratch.OfThread(Bytes(1, values * sizeof(float) + projection.ScratchBytes(count, width)));
        var pooled = scratch.Take<float>(values);
        PoolStep.Rows(projection.Pool, shortcut, source, frame, first, count, pooled);
        projection.Rows(count, width, pooled, scratch, result.In(frame) + (long)first * width * projection.Out);
    }
}
