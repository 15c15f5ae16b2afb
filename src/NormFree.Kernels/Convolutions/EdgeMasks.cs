namespace NormFree.Kernels.Convolutions;

/// <summary>For chunks of 32 output pixels, which of them meet a pixel inside the map at a tap.</summary>
internal sealed class EdgeMasks
{
    private const int Bits = 32;

    private readonly int taps;
    private readonly int period;
    private readonly int lastChunk;
    private readonly uint lastMask;
    private readonly uint[] masks;

    /// <summary>Makes the masks of a convolution.</summary>
    public EdgeMasks(in ConvolutionShape shape)
    {
        taps = shape.Taps;
        period = Period(shape.OutHeight * shape.OutWidth);
        lastChunk = TapPlanes.Chunks(shape) - 1;
        lastMask = shape.OutPixels % Bits == 0 ? uint.MaxValue : (1u << (shape.OutPixels % Bits)) - 1;
        masks = new uint[period * taps];
        for (var pixel = 0; pixel < period * Bits; pixel++) Add(shape, pixel);
    }

    /// <summary>The mask of a chunk at a tap.</summary>
    public uint Of(int chunk, int tap) => masks[chunk % period * taps + tap] & (chunk == lastChunk ? lastMask : uint.MaxValue);

    /// <summary>Chunks after which an image begins at the first bit of a chunk again.</summary>
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
            if (shape.Meets(x, y, tap)) masks[pixel / Bits * taps + tap] |= 1u << (pixel % Bits);
        }
    }
}
