using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary>The filters of a binary convolution in the layout of an instruction set; multiplies them with sign maps in exact integers.</summary>
/// <remarks>
/// <para>accumulators[p][o] = Σ_tap Σ_c x[q(p, tap)][c]·w[o][tap][c] with x and w in {−1, +1}, where q(p, tap) is the input pixel that output pixel p
/// reads at a tap; outside the map x is the <see cref="PaddingValue"/>. The reference implementation is <see cref="ReferenceConvolution"/>.</para>
/// <para>Instances are thread-safe.</para>
/// </remarks>
public abstract unsafe class PackedFilters : IDisposable
{
    private protected PackedFilters(in ConvolutionShape shape) => Shape = shape;

    /// <summary>Converts filters to the layout of an instruction set.</summary>
    /// <param name="set">The instruction set.</param>
    /// <param name="shape">Sizes of the convolution; batch, height and width are ignored.</param>
    /// <param name="signs">O × taps × ⌈C/64⌉ words; 1 is +1, bits past the last channel are 0.</param>
    /// <param name="padding">Value of padding.</param>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static PackedFilters Create(
        InstructionSet set, in ConvolutionShape shape, ulong* signs, PaddingValue padding = PaddingValue.Zero) =>
        InstructionSets.Require(set) switch
        {
            InstructionSet.Avx512 when Avx512Vbmi.IsSupported && LookupFilters<Avx512Lookups, Vector512<byte>>.Supports(shape) =>
                new LookupFilters<Avx512Lookups, Vector512<byte>>(SignEncoding.SixBits, shape, signs, padding),
            InstructionSet.Avx2 when LookupFilters<Avx2Lookups, Vector256<byte>>.Supports(shape) =>
                new LookupFilters<Avx2Lookups, Vector256<byte>>(SignEncoding.FourBits, shape, signs, padding),
            _ => new WordFilters(set, shape, signs, padding),
        };

    /// <summary>Sizes of the convolution; batch, height and width are ignored.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>The first filter of each block, then the number of filters. An <see cref="OutputRange"/> must start and end at these; all but the last are
    /// multiples of 64.</summary>
    public abstract ReadOnlySpan<int> Blocks { get; }

    /// <summary>The required layout of a sign map of the given size.</summary>
    public abstract SignLayout Layout(int height, int width);

    /// <summary>Writes the padding of a map and overwrites the rest. Nothing else writes the padding, so once per map is enough.</summary>
    public abstract void FillPadding(SignMap map);

    /// <summary>Bytes of scratch that <see cref="Convolve"/> takes.</summary>
    public abstract long ScratchBytes { get; }

    /// <summary>Computes a part of one image's output.</summary>
    /// <param name="map">Signs of the image in this <see cref="Layout"/>, including the padding.</param>
    /// <param name="range">The part.</param>
    /// <param name="scratch">Holds at least <see cref="ScratchBytes"/>.</param>
    /// <param name="accumulators">int32 results, the range's pixels × filters, overwritten.</param>
    public abstract void Convolve(SignMap map, in OutputRange range, Scratch scratch, int* accumulators);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary><see cref="PackedFilters"/> by XNOR and popcount, for every instruction set and shape.</summary>
internal sealed unsafe class WordFilters : PackedFilters
{
    /// <summary>Filters per block: one word of the next layer's signs.</summary>
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

    /// <summary>Does nothing: this layout has no padding, since the convolution checks coordinates.</summary>
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
