using System.Runtime.Intrinsics;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>The signs that each output pixel reads (im2col), 32 bits per word: the input of <see cref="BinaryInputConvolution"/>.</summary>
/// <remarks>
/// The bits of a pixel are those of its taps one after another, <see cref="BitsPerTap"/> each. Words of consecutive pixels are adjacent: word (w, p) is at
/// w·<see cref="Stride"/> + p. Bit i of a pixel, at tap t = i / BitsPerTap and channel c = i mod BitsPerTap, is bit i mod 32 of word ⌊i/32⌋. It is set where
/// output pixel p, in memory order over the batch, reads +1; it is 0 for −1, for padding, and past the last channel.
/// </remarks>
public static unsafe class UnfoldedChannelWords
{
    private const int WordBits = 32;

    private const int PixelsPerTask = 1024;

    /// <summary>Bits of a tap: the channels rounded up to 4, 8, 16, or a multiple of 32, so that no tap ends within a word unless several fit into it.</summary>
    public static int BitsPerTap(in ConvolutionShape shape) => shape.In switch
    {
        <= 4 => 4,
        <= 8 => 8,
        <= 16 => 16,
        _ => (shape.In + WordBits - 1) / WordBits * WordBits,
    };

    /// <summary>Words per pixel.</summary>
    public static int Words(in ConvolutionShape shape) => (shape.Taps * BitsPerTap(shape) + WordBits - 1) / WordBits;

    /// <summary>Output pixels, rounded up to a multiple of 64.</summary>
    public static int Stride(in ConvolutionShape shape) => (shape.OutPixels + 63) / 64 * 64;

    /// <summary>Number of all words.</summary>
    public static long Length(in ConvolutionShape shape) => (long)Words(shape) * Stride(shape);

    /// <summary>Lookup tables per filter: one per four bits.</summary>
    internal static int Tables(in ConvolutionShape shape) => Words(shape) * SignPatterns.GroupsPerWord;

    /// <summary>Unfolds the signs of a batch.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="signs">Signs of the input, pixels × ⌈C/64⌉ words.</param>
    /// <param name="target"><see cref="Length"/> words.</param>
    /// <param name="workers">Threads.</param>
    public static void Make(ConvolutionShape shape, ulong* signs, uint* target, IWorkers workers)
    {
        var stride = Stride(shape);
        var parts = (stride + PixelsPerTask - 1) / PixelsPerTask;
        workers.Run(Words(shape) * parts, task =>
        {
            int word = task / parts, first = task % parts * PixelsPerTask, count = Math.Min(PixelsPerTask, stride - first);
            var result = target + (long)word * stride + first;
            new Span<uint>(result, count).Clear();
            CopyWord(shape, word, first, Math.Min(count, shape.OutPixels - first), (uint*)signs, result);
        });
    }

    /// <summary>Sets the bits of one word of some pixels.</summary>
    private static void CopyWord(in ConvolutionShape shape, int word, int first, int count, uint* signs, uint* target)
    {
        var bits = BitsPerTap(shape);
        if (bits >= WordBits)
        {
            var perTap = bits / WordBits;
            CopyTap(shape, word / perTap, first, count, signs + word % perTap, 0, target);
            return;
        }
        var taps = WordBits / bits;
        for (var tap = word * taps; tap < Math.Min(shape.Taps, (word + 1) * taps); tap++)
            CopyTap(shape, tap, first, count, signs, (tap - word * taps) * bits, target);
    }

    /// <summary>Sets the bits that a tap reads, shifted to their place, row by row of the output.</summary>
    private static void CopyTap(in ConvolutionShape shape, int tap, int first, int count, uint* signs, int shift, uint* target)
    {
        for (int pixel = first, end = first + count, run; pixel < end; pixel += run)
        {
            int x = pixel % shape.OutWidth, line = pixel / shape.OutWidth;
            run = Math.Min(shape.OutWidth - x, end - pixel);
            var row = line % shape.OutHeight * shape.StrideY + tap / shape.KernelWidth - shape.PadY;
            if ((uint)row >= (uint)shape.Height) continue;
            var source = signs + ((long)line / shape.OutHeight * shape.Height + row) * shape.Width * SourceStep(shape);
            CopyRow(shape, x, run, tap % shape.KernelWidth - shape.PadX, source, shift, target + pixel - first);
        }
    }

    private static void CopyRow(in ConvolutionShape shape, int x, int count, int offset, uint* row, int shift, uint* target)
    {
        // The first and the last pixel that read inside the map.
        int stride = shape.StrideX, begin = offset >= 0 ? 0 : (stride - 1 - offset) / stride, end = (shape.Width - offset + stride - 1) / stride;
        int from = Math.Max(x, begin), last = Math.Min(x + count, end);
        nint step = (nint)SourceStep(shape) * stride;
        var source = row + (long)(from * stride + offset) * SourceStep(shape);
        var pixel = from;
        // The upper half of a pixel's words starts in the middle of 64 bits, so a vector may not end at the last pixel.
        for (; step == 2 && pixel + Vector256<uint>.Count < last; pixel += Vector256<uint>.Count, source += 2 * Vector256<uint>.Count)
        {
            // A pixel has 64 bits: keep the lower half of each.
            var bits = Vector256.Narrow(Vector256.Load((ulong*)source), Vector256.Load((ulong*)source + Vector256<ulong>.Count)) << shift;
            (Vector256.Load(target + pixel - x) | bits).Store(target + pixel - x);
        }
        for (; pixel < last; pixel++, source += step) target[pixel - x] |= *source << shift;
    }

    /// <summary>32-bit words of an input pixel's signs.</summary>
    private static int SourceStep(in ConvolutionShape shape) => (shape.In + 63) / 64 * 2;
}
