using System.Numerics;
using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Convolutions;

/// <summary>The signs of a layer's filters, in the order in which the XNOR convolution reads them. The order is that of every instruction set.</summary>
/// <remarks>
/// Word (f/8, tap, w, f mod 8), at ((f/8·taps + tap)·⌈C/64⌉ + w)·8 + f mod 8, has the signs of filter f at a tap for the channels 64·w … 64·w + 63;
/// 1 is +. Filters are filled up to a multiple of 8 with zeros. The memory is aligned to 64 bytes, so that eight filters' words are a cache line.
/// </remarks>
public sealed unsafe class XnorFilters : IDisposable
{
    /// <summary>Filters side by side.</summary>
    public const int Interleave = 8;

    private readonly NativeBuffer<ulong> words;
    private readonly NativeBuffer<int> paddingCorrections;

    private XnorFilters(in ConvolutionShape shape, PaddingValue padding)
    {
        Shape = shape;
        Padding = padding;
        words = new NativeBuffer<ulong>((long)PaddedFilters * shape.Taps * WordsPerTap);
        paddingCorrections = new NativeBuffer<int>((long)(shape.KernelHeight + 1) * shape.KernelWidth * shape.Out);
    }

    /// <summary>Sizes of the convolution; the map's and the batch's do not matter.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>What taps paddingCorrections the map contribute.</summary>
    public PaddingValue Padding { get; }

    /// <summary>⌈C/64⌉, words of a pixel and of a filter's tap.</summary>
    public int WordsPerTap => (Shape.In + 63) / 64;

    private int PaddedFilters => (Shape.Out + Interleave - 1) / Interleave * Interleave;

    /// <summary>The words, in the order above.</summary>
    internal ulong* Words => words.Pointer;

    /// <summary>
    /// (rows + 1) × columns × O: for the first rows of a filter, none to all, and one of its columns, what their taps add too much, with its sign
    /// turned, where the map is read as zeros, that is −1 in every channel: Σ 2·(the tap's +) − C.
    /// </summary>
    internal int* PaddingCorrections => paddingCorrections.Pointer;

    /// <summary>Prepares filters.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="signs">O × taps × ⌈C/64⌉ words; 1 is +, bits behind the last channel are 0.</param>
    /// <param name="padding">What taps paddingCorrections the map contribute.</param>
    public static XnorFilters Create(in ConvolutionShape shape, ulong* signs, PaddingValue padding = PaddingValue.Zero)
    {
        var filters = new XnorFilters(shape, padding);
        filters.Fill(signs);
        return filters;
    }

    /// <summary>Takes over other signs of the same sizes, without allocating.</summary>
    /// <param name="signs">As in <see cref="Create"/>.</param>
    public void Fill(ulong* signs)
    {
        int taps = Shape.Taps, wordsPerTap = WordsPerTap;
        // The filters that the last eight lack.
        words.Cleared();
        for (var filter = 0; filter < Shape.Out; filter++)
        {
            var target = Words + (long)(filter / Interleave) * taps * wordsPerTap * Interleave + filter % Interleave;
            for (var column = 0; column < Shape.KernelWidth; column++) PaddingCorrections[(long)column * Shape.Out + filter] = 0;
            for (var tap = 0; tap < taps; tap++)
            {
                var plus = 0;
                for (var word = 0; word < wordsPerTap; word++, signs++, target += Interleave)
                {
                    *target = *signs;
                    plus += BitOperations.PopCount(*signs);
                }
                var above = PaddingCorrections + (long)tap * Shape.Out + filter;
                above[(long)Shape.KernelWidth * Shape.Out] = *above + 2 * plus - Shape.In;
            }
        }
    }

    /// <summary>Whether a convolution has filters of these sizes.</summary>
    internal bool Matches(in ConvolutionShape shape) =>
        (shape.In, shape.Out, shape.KernelHeight, shape.KernelWidth) == (Shape.In, Shape.Out, Shape.KernelHeight, Shape.KernelWidth);

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        words.Dispose();
        paddingCorrections.Dispose();
    }
}
