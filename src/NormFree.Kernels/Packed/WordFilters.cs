using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="PackedFilters"/> by XNOR and counting of bits: for every instruction set and shape.</summary>
internal sealed unsafe class WordFilters : PackedFilters
{
    /// <summary>Filters of a block: a word of the next layer's signs.</summary>
    private const int Block = SignLayout.Block;

    private readonly XnorConvolution convolution;
    private readonly PreparedFilters filters;
    private readonly int[] blocks;

    public WordFilters(InstructionSet set, in ConvolutionShape shape, ulong* signs, OutsideTaps outsideTaps) : base(shape)
    {
        convolution = XnorConvolution.For(set);
        filters = PreparedFilters.From(shape, signs, outsideTaps);
        blocks = [.. Enumerable.Range(0, (shape.Out + Block - 1) / Block).Select(block => block * Block), shape.Out];
    }

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Blocks => blocks;

    /// <inheritdoc/>
    public override long ScratchBytes => XnorConvolution.ScratchBytes(Shape);

    /// <inheritdoc/>
    public override SignLayout Layout(int height, int width) => new(SignEncoding.Words, height, width, Shape.In, 0, 0);

    /// <summary>There is none: pixels outside are known by their coordinates.</summary>
    public override void FillBorder(SignMap map)
    {
    }

    /// <inheritdoc/>
    public override void Multiply(SignMap map, in OutputRange range, Scratch scratch, int* counts)
    {
        var shape = Shape with { Batch = 1, Height = map.Layout.Height, Width = map.Layout.Width };
        convolution.Compute(shape, 0, range, (ulong*)map.Memory, filters, scratch, counts);
    }

    /// <inheritdoc/>
    public override void Dispose() => filters.Dispose();
}
