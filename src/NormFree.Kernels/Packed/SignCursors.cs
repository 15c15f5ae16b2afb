using System.Runtime.CompilerServices;
using NormFree.Kernels.Convolutions;

namespace NormFree.Kernels.Packed;

/// <summary>Goes through a sign map's pixels row by row.</summary>
internal unsafe struct SignMapCursor
{
    private readonly int pixelBytes;
    private readonly int blockBytes;
    private readonly int borderBytes;
    private readonly int width;
    private byte* pixel;
    private int x;

    /// <summary>Begins at a pixel; a map without pixels is for those who never ask.</summary>
    public SignMapCursor(SignMap map, int first)
    {
        var layout = map.Layout;
        if (layout.Width == 0) return;
        (pixelBytes, blockBytes, width) = (layout.PixelBytes, layout.BlockOffset(1), layout.Width);
        borderBytes = 2 * layout.PadX * pixelBytes;
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

/// <summary>Goes through output pixels row by row, and says where in a bordered map each one's window begins.</summary>
internal unsafe struct WindowCursor
{
    private readonly int outWidth;
    private readonly nint columnStep;
    private readonly nint rowStep;
    private byte* row;
    private int x;

    /// <summary>Begins at an output pixel.</summary>
    public WindowCursor(in ConvolutionShape shape, SignMap map, int first)
    {
        var layout = map.Layout;
        outWidth = (shape with { Width = layout.Width }).OutWidth;
        columnStep = (nint)shape.StrideX * layout.PixelBytes;
        rowStep = (nint)shape.StrideY * layout.RowBytes;
        row = map.Memory + first / outWidth * rowStep;
        x = first % outWidth;
    }

    /// <summary>The windows of the next pixels; where there are fewer than places, the last one stands in for the rest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Next(int count, int places, ushort** windows)
    {
        for (var i = 0; i < count; i++)
        {
            windows[i] = (ushort*)(row + x * columnStep);
            if (++x < outWidth) continue;
            x = 0;
            row += rowStep;
        }
        for (var i = count; i < places; i++) windows[i] = windows[count - 1];
    }
}
