using System.Runtime.CompilerServices;
using NormFree.Kernels.Convolutions;

namespace NormFree.Kernels.Packed;

/// <summary>Iterates over the pixels of a sign map row by row.</summary>
internal unsafe struct SignMapCursor
{
    private readonly int pixelBytes;
    private readonly int blockBytes;
    private readonly int paddingBytes;
    private readonly int width;
    private byte* pixel;
    private int x;

    /// <summary>Starts at a pixel. For an empty map the cursor must not be used.</summary>
    public SignMapCursor(SignMap map, int first)
    {
        var layout = map.Layout;
        if (layout.Width == 0) return;
        (pixelBytes, blockBytes, width) = (layout.PixelBytes, layout.BlockOffset(1), layout.Width);
        paddingBytes = 2 * layout.PadX * pixelBytes;
        x = first % width;
        pixel = map.Pixel(first / width, x);
    }

    /// <summary>Address of a block of 64 channels of the current pixel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly byte* Block(int block) => pixel + block * blockBytes;

    /// <summary>Moves to the next pixel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Next()
    {
        pixel += pixelBytes;
        if (++x < width) return;
        x = 0;
        pixel += paddingBytes;
    }
}

/// <summary>Iterates over output pixels row by row and gives the start of each one's window in a padded sign map.</summary>
internal unsafe struct WindowCursor
{
    private readonly int outWidth;
    private readonly nint columnStep;
    private readonly nint rowStep;
    private byte* row;
    private int x;

    /// <summary>Starts at an output pixel.</summary>
    public WindowCursor(in ConvolutionShape shape, SignMap map, int first)
    {
        var layout = map.Layout;
        outWidth = (shape with { Width = layout.Width }).OutWidth;
        columnStep = (nint)shape.StrideX * layout.PixelBytes;
        rowStep = (nint)shape.StrideY * layout.RowBytes;
        row = map.Memory + first / outWidth * rowStep;
        x = first % outWidth;
    }

    /// <summary>Writes the windows of the next <paramref name="count"/> pixels; repeats the last one up to <paramref name="places"/>.</summary>
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
