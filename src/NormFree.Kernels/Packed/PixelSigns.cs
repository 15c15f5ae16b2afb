using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Packed;

/// <summary>Goes through a sign map's pixels row by row.</summary>
internal unsafe struct PixelSigns
{
    private readonly int pixelBytes;
    private readonly int blockBytes;
    private readonly int borderBytes;
    private readonly int width;
    private byte* pixel;
    private int x;

    /// <summary>Begins at a pixel; a map without pixels is for those who never ask.</summary>
    public PixelSigns(SignMap map, int first)
    {
        var layout = map.Layout;
        if (layout.Width == 0) return;
        (pixelBytes, blockBytes, width) = (layout.PixelBytes, layout.OffsetOfBlock(1), layout.Width);
        borderBytes = 2 * layout.BorderX * pixelBytes;
        x = first % width;
        pixel = map.Pixel(first / width, x);
    }

    /// <summary>Where a block of the pixel's channels begins.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly byte* Block(int block) => pixel + block * blockBytes;

    /// <summary>Goes on to the next pixel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Next()
    {
        pixel += pixelBytes;
        if (++x < width) return;
        x = 0;
        pixel += borderBytes;
    }
}
