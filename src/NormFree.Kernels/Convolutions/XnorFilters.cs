using System.Numerics;
using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Convolutions;

/// <summary>Signs of a layer's filters in the order in which <see cref="XnorConvolution"/> reads them, on every instruction set.</summary>
/// <remarks>
/// Word ((f/8·taps + tap)·⌈C/64⌉ + w)·8 + f mod 8 holds the signs of filter f at a tap for channels 64·w … 64·w + 63; 1 is +1. The number of filters is
/// padded to a multiple of 8 with zeros. Memory is aligned to 64 bytes, so that a word of eight filters is one cache line.
/// </remarks>
public sealed unsafe class XnorFilters : IDisposable
{
    /// <summary>Number of interleaved filters.</summary>
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

    /// <summary>Sizes of the convolution; batch, height and width are ignored.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>Value of padding.</summary>
    public PaddingValue Padding { get; }

    /// <summary>⌈C/64⌉, words per pixel and per tap.</summary>
    public int WordsPerTap => (Shape.In + 63) / 64;

    private int PaddedFilters => (Shape.Out + Interleave - 1) / Interleave * Interleave;

    /// <summary>The words, in the order above.</summary>
    internal ulong* Words => words.Pointer;

    /// <summary>
    /// (rows + 1) × columns × O: for the first 0 … KernelHeight rows of one filter column, what to add if the map is read as zero bits, i.e. −1 in every
    /// channel, where it should be 0: Σ 2·(number of +1) − C over these taps.
    /// </summary>
    internal int* PaddingCorrections => paddingCorrections.Pointer;

    /// <summary>Reorders the signs of filters.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="signs">O × taps × ⌈C/64⌉ words; 1 is +1, bits past the last channel are 0.</param>
    /// <param name="padding">Value of padding.</param>
    public static XnorFilters Create(in ConvolutionShape shape, ulong* signs, PaddingValue padding = PaddingValue.Zero)
    {
        var filters = new XnorFilters(shape, padding);
        filters.Fill(signs);
        return filters;
    }

    /// <summary>Replaces the signs with others of the same sizes, without allocating.</summary>
    /// <param name="signs">As in <see cref="Create"/>.</param>
    public void Fill(ulong* signs)
    {
        int taps = Shape.Taps, wordsPerTap = WordsPerTap;
        // Clears the words of the filters that pad the last eight.
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

    /// <summary>Whether these filters fit a convolution.</summary>
    internal bool Matches(in ConvolutionShape shape) =>
        (shape.In, shape.Out, shape.KernelHeight, shape.KernelWidth) == (Shape.In, Shape.Out, Shape.KernelHeight, Shape.KernelWidth);

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        words.Dispose();
        paddingCorrections.Dispose();
    }
}
