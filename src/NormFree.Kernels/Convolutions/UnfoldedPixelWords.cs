using NormFree.Kernels.Bits;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>The signs that each tap reads (im2col), 32 output pixels per word: the input of <see cref="FilterGradient"/>.</summary>
/// <remarks>
/// Word (k, t, c) is at k·<see cref="Stride"/> + t·C' + c, with C' the input channels rounded up to a multiple of 16. Its bit j is set where output pixel
/// 32·k + j, in memory order over the batch, reads +1 in channel c at tap t; it is 0 for −1, for padding, past the last channel, and past the end of the
/// batch.
/// </remarks>
public static unsafe class UnfoldedPixelWords
{
    private const int Bits = 32;

    /// <summary>C', words of one tap and chunk.</summary>
    public static int WordsPerTap(in ConvolutionShape shape) => (shape.In + 15) / 16 * 16;

    /// <summary>Words from one chunk of 32 pixels to the next.</summary>
    public static int Stride(in ConvolutionShape shape) => shape.Taps * WordsPerTap(shape);

    /// <summary>Number of all words.</summary>
    public static long Length(in ConvolutionShape shape) => (long)Chunks(shape) * Stride(shape);

    /// <summary>Chunks of 32 output pixels.</summary>
    public static int Chunks(in ConvolutionShape shape) => (shape.OutPixels + Bits - 1) / Bits;

    /// <summary>Unfolds the signs of a batch.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="signs">Signs of the input, pixels × ⌈C/64⌉ words; bit c mod 64 of word c/64.</param>
    /// <param name="target"><see cref="Length"/> words.</param>
    /// <param name="workers">Threads.</param>
    public static void Make(ConvolutionShape shape, ulong* signs, uint* target, IWorkers workers)
    {
        if (ShiftedPixelWords.Supports(shape)) ShiftedPixelWords.Make(shape, signs, target, workers);
        else ForChunks(shape, workers, chunk => Unfold(shape, chunk, signs, target));
    }

    /// <summary>Runs <paramref name="work"/> for all chunks, about 16 000 words per task.</summary>
    internal static void ForChunks(ConvolutionShape shape, IWorkers workers, Action<int> work)
    {
        var chunks = Chunks(shape);
        var chunksPerTask = Math.Max(1, 16_384 / Stride(shape));
        workers.Run((chunks + chunksPerTask - 1) / chunksPerTask, task =>
        {
            var last = Math.Min(chunks, (task + 1) * chunksPerTask);
            for (var chunk = task * chunksPerTask; chunk < last; chunk++) work(chunk);
        });
    }

    /// <summary>Unfolds one chunk: consecutive pixels at once where an output pixel reads only the same input pixel, else pixel by pixel.</summary>
    internal static void Unfold(in ConvolutionShape shape, int chunk, ulong* signs, uint* target)
    {
        int words = (shape.In + 63) / 64, perTap = WordsPerTap(shape);
        target += (long)chunk * Stride(shape);
        if (shape is { Taps: 1, StrideY: 1, StrideX: 1, PadY: 0, PadX: 0 } && (chunk + 1) * Bits <= shape.OutPixels)
        {
            for (var word = 0; word < words; word++)
                BitTranspose.Transpose(signs + (long)chunk * Bits * words + word, words, Math.Min(64, perTap - 64 * word), target + word * 64);
            return;
        }
        var sources = stackalloc ulong*[Bits];
        for (var tap = 0; tap < shape.Taps; tap++, target += perTap)
        {
            Sources(shape, chunk, tap, signs, words, sources);
            for (var word = 0; word < words; word++) BitTranspose.Transpose(sources, word, Math.Min(64, perTap - 64 * word), target + word * 64);
        }
    }

    /// <summary>The input pixels that the 32 output pixels of a chunk read at a tap; null for none.</summary>
    private static void Sources(in ConvolutionShape shape, int chunk, int tap, ulong* signs, int words, ulong** sources)
    {
        var pixels = new OutputPixels(shape, tap, chunk * Bits);
        for (var j = 0; j < Bits; j++, pixels.Next()) sources[j] = pixels.Source is var source and >= 0 ? signs + source * words : null;
    }
}
