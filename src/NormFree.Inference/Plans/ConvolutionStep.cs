using NormFree.Kernels.Memory;
using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>A convolution of real numbers by rows, and the signs of its result.</summary>
internal sealed unsafe class ConvolutionStep : Step
{
    private readonly RealFilters filters;
    private readonly MapPlace source;
    private readonly MapPlace result;
    private readonly SignWriter signs;
    private readonly RowCut cut;

    public ConvolutionStep(RealFilters filters, MapPlace source, MapPlace result, SignWriter signs, int threads) : this(
        filters, source, result, signs, RowCut.OfBytes(result.Size, threads))
    {
    }

    private ConvolutionStep(RealFilters filters, MapPlace source, MapPlace result, SignWriter signs, RowCut cut) : base(cut.Tasks) =>
        (this.filters, this.source, this.result, this.signs, this.cut) = (filters, source, result, signs, cut);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = cut[task];
        var width = result.Size.Width;
        var scratch = Scratch.OfThread(filters.ScratchBytes(source.Size.Width, count));
        filters.Rows(source.RealIn(frame), first, count, scratch, result.In(frame) + (long)first * width * result.Size.Channels);
        signs.Pack(frame, result, first * width, count * width);
    }
}
