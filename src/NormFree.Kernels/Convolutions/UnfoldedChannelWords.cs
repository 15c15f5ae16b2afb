using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>The signs that every output pixel of a convolution meets, 32 channels a word, pixels side by side: the indices of a forward pass.</summary>
/// <remarks>
/// Word (t, w, p), at ((t·Words) + w)·Stride + p: bit j is set where output pixel p, in the order of memory over the whole batch, meets a + of channel
/// 32·w + j at tap t; 0 where it meets a −, or padding, or where there is no such channel.
/// </remarks>
public static unsafe class UnfoldedChannelWords
{
    private const int PixelsPerTask = 1024;

    /// <summary>Words of 32 channels, of a pixel at a tap: an even number, since signs are packed by 64.</summary>
    public static int Words(in ConvolutionShape shape) => (shape.In + 63) / 64 * 2;

    /// <summary>Output pixels, rounded up to a multiple of 64.</summary>
    public static int Stride(in ConvolutionShape shape) => (shape.OutPixels + 63) / 64 * 64;

    /// <summary>Values of all words.</summary>
    public static long Length(in ConvolutionShape shape) => (long)shape.Taps * Words(shape) * Stride(shape);

    /// <summary>Makes the words.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="signs">The input's signs, pixel by pixel: ⌈C/64⌉ words of 64 channels each.</param>
    /// <param name="target"><see cref="Length"/> values.</param>
    /// <param name="workers">Threads.</param>
    public static void Make(ConvolutionShape shape, ulong* signs, uint* target, IWorkers workers)
    {
        var stride = Stride(shape);
        var parts = (stride + PixelsPerTask - 1) / PixelsPerTask;
        workers.Run(shape.Taps * parts, task =>
        {
            var first = task % parts * PixelsPerTask;
            Copy(shape, task / parts, first, Math.Min(PixelsPerTask, stride - first), (uint*)signs, target);
        });
    }

    private static void Copy(in ConvolutionShape shape, int tap, int first, int count, uint* signs, uint* target)
    {
        int words = Words(shape), stride = Stride(shape);
        var pixels = new OutputPixels(shape, tap, first);
        target += (long)tap * words * stride + first;
        for (var pixel = 0; pixel < count; pixel++, pixels.Next())
        {
            var source = pixels.Source;
            for (var word = 0; word < words; word++)
                target[(long)word * stride + pixel] = source < 0 ? 0 : signs[source * words + word];
        }
    }
}
