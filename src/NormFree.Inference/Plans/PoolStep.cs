using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Plans;

/// <summary>A pooled shortcut by rows.</summary>
internal sealed unsafe class PoolStep : Step
{
    private readonly ScaledAveragePool pool;
    private readonly PooledInput shortcut;
    private readonly MapPlace source;
    private readonly MapPlace result;
    private readonly RowCut cut;

    public PoolStep(InstructionSet set, PooledInput shortcut, MapPlace source, MapPlace result, int threads) : this(
        ScaledAveragePool.For(set), shortcut, source, result, RowCut.OfBytes(result.Size, threads))
    {
    }

    private PoolStep(ScaledAveragePool pool, PooledInput shortcut, MapPlace source, MapPlace result, RowCut cut) : base(cut.Tasks) =>
        (this.pool, this.shortcut, this.source, this.result, this.cut) = (pool, shortcut, source, result, cut);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = cut[task];
        Rows(pool, shortcut, source, frame, first, count, result.In(frame) + (long)first * result.Size.Width * result.Size.Channels);
    }

    /// <summary>Rows of the pooled map.</summary>
    public static void Rows(ScaledAveragePool pool, PooledInput shortcut, MapPlace source, in Frame frame, int first, int count, float* target)
    {
        var (_, width, channels) = source.Size;
        var from = source.In(frame) + (long)first * shortcut.Kernel * width * channels;
        for (var row = 0; row < count; row++)
        {
            pool.Forward(width, channels, shortcut.Kernel, shortcut.Factor, from, target);
            from += (long)shortcut.Kernel * width * channels;
            target += (long)(width / shortcut.Kernel) * channels;
        }
    }
}
