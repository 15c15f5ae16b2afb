using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>The signs that each output pixel reads (im2col), 32 channels per word: the input of <see cref="BinaryInputConvolution"/>.</summary>
/// <remarks>
/// Words of consecutive pixels are adjacent: word (t, w, p) is at ((t·Words) + w)·Stride + p. Its bit j is set where output pixel p, in memory order over the batch, reads +1 in channel 32·w + j at
/// tap t; it is 0 for −1, for padding, and past the last channel.
/// </remarks>
public static unsafe class UnfoldedChannelWords
{
    private const int PixelsPerTask = 1024;

    /// <summary>Words per pixel and tap: an even number, since signs are packed in words of 64.</summary>
    public static int Words(in ConvolutionShape shape) => (shape.In + 63) / 64 * 2;

    /// <summary>Output pixels, rounded up to a multiple of 64.</summary>
    public static int Stride(in ConvolutionShape shape) => (shape.OutPixels + 63) / 64 * 64;

    /// <summary>Number of all words.</summary>
    public static long Length(in ConvolutionShape shape) => (long)shape.Taps * Words(shape) * Stride(shape);

    /// <summary>Unfolds the signs of a batch.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="signs">Signs of the input, pixels × ⌈C/64⌉ words.</param>
    /// <param name="target"><see cref="Length"/> words.</param>
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
