using NormFree.Inference.Layers;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;

namespace NormFree.Inference.Plans;

/// <summary>A binary layer: convolution and epilogue of a block of filters and a piece of the pixels, whose counts stay in cache.</summary>
internal sealed unsafe class BinaryStep : Step
{
    private readonly PreparedBinaryLayer layer;
    private readonly SignPlace source;
    private readonly MapPlace shortcut;
    private readonly MapPlace result;
    private readonly SignWriter signs;
    private readonly OutputRange[] ranges;

    public BinaryStep(PreparedBinaryLayer layer, SignPlace source, MapPlace shortcut, MapPlace result, SignWriter signs, int threads) : this(
        layer, source, shortcut, result, signs, RangeCut.Of(result.Pixels, layer.Filters.Blocks, threads))
    {
    }

    private BinaryStep(
        PreparedBinaryLayer layer, SignPlace source, MapPlace shortcut, MapPlace result, SignWriter signs, OutputRange[] ranges) : base(ranges.Length) =>
        (this.layer, this.source, this.shortcut, this.result, this.signs, this.ranges) = (layer, source, shortcut, result, signs, ranges);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var range = ranges[task];
        var values = (long)range.Pixels * range.Filters;
        var scratch = Scratch.OfThread(Bytes(2, values * sizeof(int) + layer.Filters.ScratchBytes));
        var counts = scratch.Take<int>(values);
        layer.Filters.Convolve(source.In(frame), range, scratch, counts);
        signs.Epilogue.Apply(
            layer.Parameters, range, counts, shortcut.In(frame), shortcut.Size.Channels, result.In(frame), signs.Threshold, signs.Signs(frame));
    }
}
