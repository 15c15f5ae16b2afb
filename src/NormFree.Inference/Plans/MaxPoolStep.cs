using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>A max-pool by rows, and the signs of its result.</summary>
internal sealed unsafe class MaxPoolStep : Step
{
    private readonly MaxPooling pooling;
    private readonly ConvolutionShape shape;
    private readonly MapPlace source;
    private readonly MapPlace result;
    private readonly SignWriter signs;
    private readonly RowCut cut;

    public MaxPoolStep(MaxPooling pooling, in ConvolutionShape shape, MapPlace source, MapPlace result, SignWriter signs, int threads) : this(
        pooling, shape, source, result, signs, RowCut.OfBytes(result.Size, threads))
    {
    }

    private MaxPoolStep(MaxPooling pooling, in ConvolutionShape shape, MapPlace source, MapPlace result, SignWriter signs, RowCut cut) : base(cut.Tasks) =>
        (this.pooling, this.shape, this.source, this.result, this.signs, this.cut) = (pooling, shape, source, result, signs, cut);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = cut[task];
        var width = result.Size.Width;
        pooling.Rows(shape, first, count, source.In(frame), result.In(frame) + (long)first * width * result.Size.Channels);
        signs.Pack(frame, result, first * width, count * width);
    }
}
