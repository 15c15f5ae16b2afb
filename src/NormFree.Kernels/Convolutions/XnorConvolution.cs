using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Convolution of a binary input with binary weights, in exact integers.</summary>
/// <remarks>
/// <para>target[p][o] = Σ_tap Σ_c x[q(p, tap)][c]·w[o][tap][c] with x and w in {−1, +1}, where q(p, tap) is the input pixel that output pixel p reads at a
/// tap; outside the map x is the <see cref="PaddingValue"/>. For n channels the sum is n − 2·popcount(x ⊕ w).</para>
/// <para>The result fits an <see cref="int"/> if taps × C does.</para>
/// <para>The reference implementation is <see cref="ReferenceConvolution"/>. Rastegari et al., "XNOR-Net" (ECCV 2016).</para>
/// </remarks>
public abstract unsafe class XnorConvolution
{
    /// <summary>Bytes of input words gathered at once; leaves room in the first-level cache for the words of eight filters.</summary>
    private const int BytesGathered = 16 << 10;

    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static XnorConvolution For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new XnorConvolution<CarrySaveDotProducts<Avx512Bits, Vector512<ulong>>>(),
        InstructionSet.Avx2 => new XnorConvolution<CarrySaveDotProducts<Avx2Bits, Vector256<ulong>>>(),
        InstructionSet.AdvSimd => new XnorConvolution<AdvSimdDotProducts>(),
        _ => new XnorConvolution<ScalarDotProducts>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static XnorConvolution Best { get; } = For(InstructionSets.Best);

    /// <summary>Bytes of scratch that <see cref="Compute"/> takes.</summary>
    public static long ScratchBytes(in ConvolutionShape shape) =>
        PixelsAtOnce(shape) * (WordsPerPixel(shape) * sizeof(ulong) + XnorFilters.Interleave * sizeof(int)) + 128;

    /// <summary>Computes a part of one image's output.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="image">Index of the image in the batch.</param>
    /// <param name="range">The part; its first filter must be a multiple of <see cref="XnorFilters.Interleave"/>.</param>
    /// <param name="activations">
    /// Signs of the batch, pixels × ⌈C/64⌉ words as <c>SignPacking</c> writes them: 1 is +1, bits past the last channel are 0.
    /// </param>
    /// <param name="filters">Filters of the same channels and kernel.</param>
    /// <param name="scratch">Holds at least <see cref="ScratchBytes"/>.</param>
    /// <param name="target">The range's pixels × filters, overwritten.</param>
    /// <exception cref="ArgumentException">The filters were made for other sizes.</exception>
    public abstract void Compute(
        in ConvolutionShape shape, int image, in OutputRange range, ulong* activations, XnorFilters filters, Scratch scratch, int* target);

    /// <summary>Words that an output pixel reads at all taps.</summary>
    private protected static long WordsPerPixel(in ConvolutionShape shape) => (long)shape.Taps * ((shape.In + 63) / 64);

    /// <summary>Output pixels gathered at once: a multiple of 12, since the inner loops take two, three or four pixels at a time.</summary>
    private protected static int PixelsAtOnce(in ConvolutionShape shape) =>
        (int)Math.Max(1, BytesGathered / sizeof(ulong) / WordsPerPixel(shape) / 12) * 12;
}

/// <summary><see cref="XnorConvolution"/> with one kind of dot products.</summary>
/// <remarks>
/// The words that an output pixel reads are gathered side by side, in the order of the filters' words. Columns outside the map are gathered as zeros and
/// corrected afterwards. Filter rows outside the map are skipped in both operands, so that the remaining words are contiguous.
/// </remarks>
internal sealed unsafe class XnorConvolution<TDotProducts> : XnorConvolution
    where TDotProducts : struct, IXnorDotProducts
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Compute(
        in ConvolutionShape shape, int image, in OutputRange range, ulong* activations, XnorFilters filters, Scratch scratch, int* target)
    {
        if (!filters.Matches(shape)) ThrowMismatch(shape, filters.Shape);
        var window = new XnorWindow(shape, filters, activations, image);
        var atOnce = PixelsAtOnce(shape);
        var gathered = scratch.Take<ulong>(atOnce * WordsPerPixel(shape));
        var eight = scratch.Take<int>(atOnce * XnorFilters.Interleave);
        int pixel = range.FirstPixel, end = pixel + range.Pixels;
        while (pixel < end)
        {
            var pixels = Math.Min(atOnce, Math.Min(end, window.SelectTapRows(pixel)) - pixel);
            var source = window.GatherPixels(pixel, pixels, gathered);
            // The words of eight filters stay in the cache for all pixels.
            for (var filter = 0; filter < range.Filters; filter += XnorFilters.Interleave)
                Multiply(window, source, pixels, range, filter, eight, target + filter);
            window.CorrectPadding(pixel, pixels, range, target);
            pixel += pixels;
            target += (long)pixels * range.Filters;
        }
        GC.KeepAlive(filters);
    }

    /// <summary>Multiplies up to eight filters; via <paramref name="eight"/> if there are fewer, or if their words need several passes.</summary>
    private static void Multiply(in XnorWindow window, ulong* pixels, int count, in OutputRange range, int filter, int* eight, int* target)
    {
        int outputs = range.Filters, filters = Math.Min(XnorFilters.Interleave, outputs - filter), words = window.Words;
        var source = window.FilterWords(range.FirstFilter + filter);
        if (filters == XnorFilters.Interleave && words <= TDotProducts.MaxWords)
        {
            Eight(pixels, words, count, source, words, window.Bits, target, outputs);
            return;
        }
        for (var first = 0; first == 0 || first < words; first += TDotProducts.MaxWords)
        {
            var part = Math.Min(TDotProducts.MaxWords, words - first);
            var bits = first == 0 ? window.Bits : 0;
            Eight(pixels + first, words, count, source + (long)first * XnorFilters.Interleave, part, bits, eight, XnorFilters.Interleave);
            for (var pixel = 0; pixel < count; pixel++)
                for (var i = 0; i < filters; i++)
                {
                    var sum = target + (long)pixel * outputs + i;
                    *sum = eight[pixel * XnorFilters.Interleave + i] + (first == 0 ? 0 : *sum);
                }
        }
    }

    private static void Eight(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (var first = 0; first < XnorFilters.Interleave; first += TDotProducts.Filters)
            TDotProducts.Multiply(pixels, stride, count, filters + first, words, bits, target + first, targetStride);
    }

    [DoesNotReturn]
    private static void ThrowMismatch(in ConvolutionShape shape, in ConvolutionShape filters) =>
        throw new ArgumentException($"The filters were made for {filters}, not for {shape}.");
}
