using System.Numerics;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary><see cref="UnfoldedPixelWords"/> of convolutions that keep the size of the map: the words of a tap are those of the 1×1 convolution, shifted by some bits.</summary>
/// <remarks>
/// In memory order, the pixel that tap (i, j) reads is (i − pad)·W + (j − pad) pixels away. Bits that a shift brings from beyond the edges of the map are
/// masked off. The masks repeat as soon as whole images end at a word boundary.
/// </remarks>
internal static unsafe class ShiftedPixelWords
{
    private const int Bits = 32;

    /// <summary>Whether the convolution has stride 1 and keeps the size of the map.</summary>
    public static bool Supports(in ConvolutionShape shape) =>
        shape.StrideX == 1 && shape.StrideY == 1 && shape.OutWidth == shape.Width && shape.OutHeight == shape.Height;

    /// <inheritdoc cref="UnfoldedPixelWords.Make"/>
    public static void Make(ConvolutionShape shape, ulong* signs, uint* target, IWorkers workers)
    {
        var point = shape with { KernelHeight = 1, KernelWidth = 1, PadX = 0, PadY = 0 };
        if (shape.Taps == 1)
        {
            UnfoldedPixelWords.ForChunks(point, workers, chunk => UnfoldedPixelWords.Unfold(point, chunk, signs, target));
            return;
        }
        using var plain = new NativeBuffer<uint>(UnfoldedPixelWords.Length(point));
        var source = plain.Pointer;
        UnfoldedPixelWords.ForChunks(point, workers, chunk => UnfoldedPixelWords.Unfold(point, chunk, signs, source));
        var masks = new PaddingMasks(shape);
        UnfoldedPixelWords.ForChunks(shape, workers, chunk =>
        {
            for (var tap = 0; tap < shape.Taps; tap++) Shift(shape, chunk, tap, masks.For(chunk, tap), source, target);
        });
    }

    /// <summary>Writes a chunk of a tap: 32 pixels of the unshifted words from some bit on, masked.</summary>
    private static void Shift(in ConvolutionShape shape, int chunk, int tap, uint mask, uint* source, uint* target)
    {
        int perTap = UnfoldedPixelWords.WordsPerTap(shape), chunks = UnfoldedPixelWords.Chunks(shape);
        var offset = (tap / shape.KernelWidth - shape.PadY) * shape.Width + tap % shape.KernelWidth - shape.PadX;
        int first = chunk + (offset >> 5), shift = offset & (Bits - 1);
        // Words beyond the batch are masked off, so any readable address will do.
        var low = (uint)first < (uint)chunks ? source + (long)first * perTap : source;
        var high = (uint)(first + 1) < (uint)chunks ? source + (long)(first + 1) * perTap : source;
        target += (long)chunk * UnfoldedPixelWords.Stride(shape) + tap * perTap;
        var masks = new Vector<uint>(mask);
        for (var channel = 0; channel < perTap; channel += Vector<uint>.Count)
        {
            var words = Vector.Load(low + channel) >>> shift;
            if (shift != 0) words |= Vector.Load(high + channel) << (Bits - shift);
            (words & masks).Store(target + channel);
        }
    }
}

/// <summary>For chunks of 32 output pixels: which of them read inside the map at a tap.</summary>
internal sealed class PaddingMasks
{
    private const int Bits = 32;

    private readonly int taps;
    private readonly int period;
    private readonly int lastChunk;
    private readonly uint lastMask;
    private readonly uint[] masks;

    /// <summary>Computes the masks of a convolution.</summary>
    public PaddingMasks(in ConvolutionShape shape)
    {
        taps = shape.Taps;
        period = Period(shape.OutHeight * shape.OutWidth);
        lastChunk = UnfoldedPixelWords.Chunks(shape) - 1;
        lastMask = shape.OutPixels % Bits == 0 ? uint.MaxValue : (1u << (shape.OutPixels % Bits)) - 1;
        masks = new uint[period * taps];
        for (var pixel = 0; pixel < period * Bits; pixel++) Add(shape, pixel);
    }

    /// <summary>The mask of a chunk at a tap.</summary>
    public uint For(int chunk, int tap) => masks[chunk % period * taps + tap] & (chunk == lastChunk ? lastMask : uint.MaxValue);

    /// <summary>Number of chunks after which an image starts at the first bit of a chunk again.</summary>
    private static int Period(int pixels)
    {
        var chunks = pixels;
        for (var factor = Bits; factor > 1 && chunks % 2 == 0; factor /= 2) chunks /= 2;
        return chunks;
    }

    private void Add(in ConvolutionShape shape, int pixel)
    {
        int x = pixel % shape.OutWidth, y = pixel / shape.OutWidth % shape.OutHeight;
        for (var tap = 0; tap < taps; tap++)
        {
            if (shape.ReadsInput(x, y, tap)) masks[pixel / Bits * taps + tap] |= 1u << (pixel % Bits);
        }
    }
}
