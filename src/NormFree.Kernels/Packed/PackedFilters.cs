using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary>A binary convolution with its filters, prepared once for an instruction set: products with sign maps, in exact integers.</summary>
/// <remarks>
/// <para>accumulators[p][o] = Σ_tap Σ_c x[q(p, tap)][c]·w[o][tap][c] with x and w in {−1, +1}; outside the map as <see cref="PaddingValue"/> says. The plain loops
/// are <see cref="ReferenceConvolution"/>'s.</para>
/// <para>Instances can be used by several threads at once.</para>
/// </remarks>
public abstract unsafe class PackedFilters : IDisposable
{
    private protected PackedFilters(in ConvolutionShape shape) => Shape = shape;

    /// <summary>Prepares filters.</summary>
    /// <param name="set">The instruction set.</param>
    /// <param name="shape">The convolution; the map's and the batch's sizes do not matter.</param>
    /// <param name="signs">O × taps × ⌈C/64⌉ words; 1 is +, bits behind the last channel are 0.</param>
    /// <param name="padding">What taps outside the map contribute.</param>
    /// <exception cref="PlatformNotSupportedException">This processor lacks the instruction set.</exception>
    public static PackedFilters Create(
        InstructionSet set, in ConvolutionShape shape, ulong* signs, PaddingValue padding = PaddingValue.Zero) =>
        InstructionSets.Require(set) switch
        {
            InstructionSet.Avx512 when Avx512Vbmi.IsSupported && LookupFilters<Avx512Lookups, Vector512<byte>>.Fit(shape) =>
                new LookupFilters<Avx512Lookups, Vector512<byte>>(SignEncoding.SixBits, shape, signs, padding),
            InstructionSet.Avx2 when LookupFilters<Avx2Lookups, Vector256<byte>>.Fit(shape) =>
                new LookupFilters<Avx2Lookups, Vector256<byte>>(SignEncoding.FourBits, shape, signs, padding),
            _ => new WordFilters(set, shape, signs, padding),
        };

    /// <summary>The convolution; the map's and the batch's sizes do not matter.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>
    /// The first filter of each block, and last the number of filters: ranges of filters begin and end at these. All but the last are multiples of 64.
    /// </summary>
    public abstract ReadOnlySpan<int> Blocks { get; }

    /// <summary>How the signs of a map of such a size must lie.</summary>
    public abstract SignLayout Layout(int height, int width);

    /// <summary>Writes the border of a map, which nothing else writes, so that once is enough; what the map held is lost.</summary>
    public abstract void FillPadding(SignMap map);

    /// <summary>Scratch that <see cref="Convolve"/> takes, in bytes.</summary>
    public abstract long ScratchBytes { get; }

    /// <summary>Computes a part of one image's output.</summary>
    /// <param name="map">The image's signs in this <see cref="Layout"/>, border included.</param>
    /// <param name="range">The part.</param>
    /// <param name="scratch">Holds <see cref="ScratchBytes"/>.</param>
    /// <param name="accumulators">The range's pixels × filters, overwritten.</param>
    public abstract void Convolve(SignMap map, in OutputRange range, Scratch scratch, int* accumulators);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary><see cref="PackedFilters"/> by XNOR and counting of bits: for every instruction set and shape.</summary>
internal sealed unsafe class WordFilters : PackedFilters
{
    /// <summary>Filters of a block: a word of the next layer's signs.</summary>
    private const int Block = SignLayout.Block;

    private readonly XnorConvolution convolution;
    private readonly XnorFilters filters;
    private readonly int[] blocks;

    public WordFilters(InstructionSet set, in ConvolutionShape shape, ulong* signs, PaddingValue padding) : base(shape)
    {
        convolution = XnorConvolution.For(set);
        filters = XnorFilters.Create(shape, signs, padding);
        blocks = [.. Enumerable.Range(0, (shape.Out + Block - 1) / Block).Select(block => block * Block), shape.Out];
    }

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Blocks => blocks;

    /// <inheritdoc/>
    public override long ScratchBytes => XnorConvolution.ScratchBytes(Shape);

    /// <inheritdoc/>
    public override SignLayout Layout(int height, int width) => new(SignEncoding.Words, height, width, Shape.In, 0, 0);

    /// <summary>There is none: pixels outside are known by their coordinates.</summary>
    public override void FillPadding(SignMap map)
    {
    }

    /// <inheritdoc/>
    public override void Convolve(SignMap map, in OutputRange range, Scratch scratch, int* accumulators)
    {
        var shape = Shape with { Batch = 1, Height = map.Layout.Height, Width = map.Layout.Width };
        convolution.Compute(shape, 0, range, (ulong*)map.Memory, filters, scratch, accumulators);
    }

    /// <inheritdoc/>
    public override void Dispose() => filters.Dispose();
}
