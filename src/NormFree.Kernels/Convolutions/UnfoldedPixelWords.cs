using NormFree.Kernels.Bits;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>The signs that every tap of a convolution meets, as words of 32 output pixels: what the gradient of its filters sums over.</summary>
/// <remarks>
/// Word (t, k, c), at ((t·K) + k)·C' + c with K = ⌈output pixels/32⌉ and C' the input channels rounded up to a multiple of 64: bit j is set where
/// output pixel 32·k + j, in the order of memory over the whole batch, meets a + of channel c at tap t. It is 0 where the pixel meets a −, and where
/// it meets nothing: padding, or the end of the batch.
/// </remarks>
public static unsafe class UnfoldedPixelWords
{
    private const int Bits = 32;

    /// <summary>Words of a plane: of one tap.</summary>
    public static long WordsPerTap(in ConvolutionShape shape) => (long)Chunks(shape) * Stride(shape);

    /// <summary>Words from one chunk of 32 pixels to the next.</summary>
    public static int Stride(in ConvolutionShape shape) => (shape.In + 63) / 64 * 64;

    /// <summary>Chunks of 32 output pixels.</summary>
    public static int Chunks(in ConvolutionShape shape) => (shape.OutPixels + Bits - 1) / Bits;

    /// <summary>Makes the planes of all taps.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="signs">The input's signs, pixel by pixel: ⌈C/64⌉ words each, bit c of word c/64.</param>
    /// <param name="planes">taps × <see cref="WordsPerTap"/>.</param>
    /// <param name="workers">Threads.</param>
    public static void Make(ConvolutionShape shape, ulong* signs, uint* planes, IWorkers workers)
    {
        if (ShiftedPixelWords.Supports(shape)) ShiftedPixelWords.Make(shape, signs, planes, workers);
        else ForChunks(shape, workers, chunk => Unfold(shape, chunk, signs, planes));
    }

    /// <summary>Runs work for all chunks, some ten thousand words a task.</summary>
    internal static void ForChunks(ConvolutionShape shape, IWorkers workers, Action<int> work)
    {
        var chunks = Chunks(shape);
        var chunksPerTask = Math.Max(1, 16_384 / (Stride(shape) * shape.Taps));
        workers.Run((chunks + chunksPerTask - 1) / chunksPerTask, task =>
        {
            var last = Math.Min(chunks, (task + 1) * chunksPerTask);
            for (var chunk = task * chunksPerTask; chunk < last; chunk++) work(chunk);
        });
    }

    /// <summary>Makes a chunk of all planes pixel by pixel: for any convolution.</summary>
    internal static void Unfold(in ConvolutionShape shape, int chunk, ulong* signs, uint* planes)
    {
        var words = (shape.In + 63) / 64;
        var sources = stackalloc ulong*[Bits];
        for (var tap = 0; tap < shape.Taps; tap++)
        {
            Sources(shape, chunk, tap, signs, words, sources);
            var plane = planes + tap * WordsPerTap(shape) + (long)chunk * Stride(shape);
            for (var word = 0; word < words; word++) BitTranspose.Transpose(sources, word, plane + word * 64);
        }
    }

    /// <summary>The pixels that the chunk's 32 output pixels meet at a tap; null for none.</summary>
    private static void Sources(in ConvolutionShape shape, int chunk, int tap, ulong* signs, int words, ulong** sources)
    {
        int kernelRow = tap / shape.KernelWidth, kernelColumn = tap % shape.KernelWidth;
        int width = shape.OutWidth, height = shape.OutHeight;
        int pixel = chunk * Bits, x = pixel % width, y = pixel / width % height, image = pixel / (width * height);
        for (var j = 0; j < Bits; j++)
        {
            int row = y * shape.StrideY + kernelRow - shape.PadY, column = x * shape.StrideX + kernelColumn - shape.PadX;
            var meets = image < shape.Batch && (uint)row < (uint)shape.Height && (uint)column < (uint)shape.Width;
            sources[j] = meets ? signs + ((long)(image * shape.Height + row) * shape.Width + column) * words : null;
            if (++x < width) continue;
            x = 0;
            if (++y < height) continue;
            y = 0;
            image++;
        }
    }
}
