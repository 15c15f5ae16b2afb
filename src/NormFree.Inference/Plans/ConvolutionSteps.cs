using NormFree.Inference.Layers;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Packed;
using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>A real convolution.</summary>
internal sealed unsafe class ConvolutionStep(RealFilters filters, MapBuffer input, MapBuffer output, SignWriter signs, int threads)
    : RowStep(output, signs, RowPartition.Of(output.Size, threads))
{
    /// <inheritdoc/>
    protected override void Rows(in Frame frame, int first, int count, float* target)
    {
        var scratch = Scratch.OfThread(filters.ScratchBytes(input.Size.Width, count));
        filters.Rows(input.RealIn(frame), first, count, scratch, target);
    }
}

/// <summary>The convolution and the epilogue of a binary layer. A task is a range of pixels × a block of filters, whose counts fit the cache.</summary>
internal sealed unsafe class BinaryStep : Step
{
    private readonly PreparedBinaryLayer layer;
    private readonly SignBuffer input;
    private readonly MapBuffer? shortcut;
    private readonly MapBuffer output;
    private readonly SignWriter signs;
    private readonly OutputRange[] ranges;

    /// <param name="layer">The layer.</param>
    /// <param name="input">Its input.</param>
    /// <param name="shortcut">The map that it adds; null if it adds none.</param>
    /// <param name="output">Its output; if that has more channels than filters, the last channels are written.</param>
    /// <param name="signs">Writes the signs of the output.</param>
    /// <param name="threads">Threads that share the tasks.</param>
    public BinaryStep(PreparedBinaryLayer layer, SignBuffer input, MapBuffer? shortcut, MapBuffer output, SignWriter signs, int threads)
        : this(layer, input, shortcut, output, signs, RangePartition.Of(output.Pixels, layer.Filters.Blocks, threads))
    {
    }

    private BinaryStep(
        PreparedBinaryLayer layer, SignBuffer input, MapBuffer? shortcut, MapBuffer output, SignWriter signs, OutputRange[] ranges) : base(ranges.Length) =>
        (this.layer, this.input, this.shortcut, this.output, this.signs, this.ranges) = (layer, input, shortcut, output, signs, ranges);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var range = ranges[task];
        var values = (long)range.Pixels * range.Filters;
        var scratch = Scratch.OfThread(ScratchBytes(2, values * sizeof(int) + layer.Filters.ScratchBytes));
        var counts = scratch.Take<int>(values);
        layer.Filters.Convolve(input.In(frame), range, scratch, counts);
        var parameters = layer.Parameters;
        var channels = output.Size.Channels;
        signs.Epilogue.Apply(
            parameters, range, counts, Shortcut(frame), output.In(frame) + channels - parameters.Channels, channels, signs.Threshold, signs.Signs(frame));
    }

    private EpilogueShortcut Shortcut(in Frame frame) => shortcut is null
        ? layer.Zeros
        : new EpilogueShortcut(shortcut.In(frame), shortcut.Size.Channels, shortcut.Size.Channels);
}
