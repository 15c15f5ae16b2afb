using NormFree.Inference.Layers;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>A real convolution and the signs of its output; a task is a range of rows.</summary>
internal sealed unsafe class ConvolutionStep : Step
{
    private readonly RealFilters filters;
    private readonly MapBuffer input;
    private readonly MapBuffer output;
    private readonly SignWriter signs;
    private readonly RowPartition rows;

    public ConvolutionStep(RealFilters filters, MapBuffer input, MapBuffer output, SignWriter signs, int threads)
        : this(filters, input, output, signs, RowPartition.Of(output.Size, threads))
    {
    }

    private ConvolutionStep(RealFilters filters, MapBuffer input, MapBuffer output, SignWriter signs, RowPartition rows) : base(rows.Tasks) =>
        (this.filters, this.input, this.output, this.signs, this.rows) = (filters, input, output, signs, rows);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = rows[task];
        var width = output.Size.Width;
        var scratch = Scratch.OfThread(filters.ScratchBytes(input.Size.Width, count));
        filters.Rows(input.RealIn(frame), first, count, scratch, output.In(frame) + (long)first * width * output.Size.Channels);
        signs.Pack(frame, output, first * width, count * width);
    }
}

/// <summary>The convolution and the epilogue of a binary layer. A task is a range of pixels × a block of filters, whose counts fit the cache.</summary>
internal sealed unsafe class BinaryStep : Step
{
    private readonly PreparedBinaryLayer layer;
    private readonly SignBuffer input;
    private readonly MapBuffer shortcut;
    private readonly MapBuffer output;
    private readonly SignWriter signs;
    private readonly OutputRange[] ranges;

    public BinaryStep(PreparedBinaryLayer layer, SignBuffer input, MapBuffer shortcut, MapBuffer output, SignWriter signs, int threads)
        : this(layer, input, shortcut, output, signs, RangePartition.Of(output.Pixels, layer.Filters.Blocks, threads))
    {
    }

    private BinaryStep(
        PreparedBinaryLayer layer, SignBuffer input, MapBuffer shortcut, MapBuffer output, SignWriter signs, OutputRange[] ranges) : base(ranges.Length) =>
        (this.layer, this.input, this.shortcut, this.output, this.signs, this.ranges) = (layer, input, shortcut, output, signs, ranges);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var range = ranges[task];
        var values = (long)range.Pixels * range.Filters;
        var scratch = Scratch.OfThread(ScratchBytes(2, values * sizeof(int) + layer.Filters.ScratchBytes));
        var counts = scratch.Take<int>(values);
        layer.Filters.Convolve(input.In(frame), range, scratch, counts);
        signs.Epilogue.Apply(
            layer.Parameters, range, counts, shortcut.In(frame), shortcut.Size.Channels, output.In(frame), signs.Threshold, signs.Signs(frame));
    }
}
