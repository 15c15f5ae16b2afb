using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Bits;
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
            CopyWord(shape, word, first, Math.Min(count, shape.OutPixels - first), signs, result);
        });
    }

    /// <summary>Sets the bits of one word of some pixels.</summary>
    private static void CopyWord(in ConvolutionShape shape, int word, int first, int count, ulong* signs, uint* target)
    {
        var bits = BitsPerTap(shape);
        if (bits >= WordBits)
        {
            int perTap = bits / WordBits, part = word % perTap;
            CopyTap(shape, word / perTap, first, count, signs + part / 2, new Half(part % 2 * WordBits, 0), target);
            return;
        }
        var taps = WordBits / bits;
        for (var tap = word * taps; tap < Math.Min(shape.Taps, (word + 1) * taps); tap++)
            CopyTap(shape, tap, first, count, signs, new Half(0, (tap - word * taps) * bits), target);
    }

    /// <summary>Sets the bits that a tap reads, row by row of the output.</summary>
    private static void CopyTap(in ConvolutionShape shape, int tap, int first, int count, ulong* signs, Half half, uint* target)
    {
        int width = shape.OutWidth, height = shape.OutHeight, words = SignPacking.Words(shape.In);
        int top = tap / shape.KernelWidth - shape.PadY, left = tap % shape.KernelWidth - shape.PadX;
        // The pixels of a row that read inside the map.
        int begin = left >= 0 ? 0 : (shape.StrideX - 1 - left) / shape.StrideX, end = (shape.Width - left + shape.StrideX - 1) / shape.StrideX;
        int x = first % width, y = first / width % height;
        var image = signs + (long)(first / width / height) * shape.Height * shape.Width * words;
        for (int run; count > 0; count -= run, target += run, x = 0)
        {
            run = Math.Min(width - x, count);
            int row = y * shape.StrideY + top, from = Math.Max(x, begin), pixels = Math.Min(x + run, end) - from;
            if ((uint)row < (uint)shape.Height && pixels > 0)
                CopyRow(image + ((nint)row * shape.Width + from * shape.StrideX + left) * words, (nint)words * shape.StrideX, pixels, half, target + from - x);
            if (x + run < width || ++y < height) continue;
            y = 0;
            image += (nint)shape.Height * shape.Width * words;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyRow(ulong* source, nint step, int pixels, Half half, uint* target)
    {
        var pixel = 0;
        if (step == 1 && pixels >= Vector256<uint>.Count)
        {
            for (; pixel <= pixels - Vector256<uint>.Count; pixel += Vector256<uint>.Count) half.Copy(source + pixel, target + pixel);
            // The last vector overlaps the one before it: the same bits are set twice.
            half.Copy(source + pixels - Vector256<uint>.Count, target + pixels - Vector256<uint>.Count);
            return;
        }
        for (; pixel < pixels; pixel++, source += step) target[pixel] |= (uint)(*source >> half.Right) << half.Left;
    }

    /// <summary>The 32 bits of a pixel's 64 from bit <paramref name="right"/> on, moved to bit <paramref name="left"/> of a word.</summary>
    private readonly struct Half(int right, int left)
    {
        public readonly int Right = right;
        public readonly int Left = left;

        /// <summary>Sets the bits of eight pixels.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Copy(ulong* source, uint* target)
        {
            var bits = Vector256.Narrow(Vector256.Load(source) >>> Right, Vector256.Load(source + Vector256<ulong>.Count) >>> Right);
            (Vector256.Load(target) | bits << Left).Store(target);
        }
    }
}
