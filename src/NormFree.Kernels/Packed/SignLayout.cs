namespace NormFree.Kernels.Packed;

/// <summary>Where the signs of one image's map lie: rows of pixels, within a border that stands for what lies outside the map.</summary>
/// <param name="Encoding">How a pixel's signs lie.</param>
/// <param name="Height">Rows of the map.</param>
/// <param name="Width">Columns of the map.</param>
/// <param name="Channels">Of a pixel.</param>
/// <param name="BorderY">Rows of border above and below.</param>
/// <param name="BorderX">Columns of border left and right.</param>
public readonly record struct SignLayout(SignEncoding Encoding, int Height, int Width, int Channels, int BorderY, int BorderX)
{
    /// <summary>Channels that are encoded together.</summary>
    public const int Block = 64;

    /// <summary>From a pixel to the next, in bytes.</summary>
    public int PixelBytes => Channels / Block * BytesOf(Block) + BytesOf(Channels % Block);

    /// <summary>From a row to the next, in bytes.</summary>
    public int RowBytes => (Width + 2 * BorderX) * PixelBytes;

    /// <summary>The whole map with its border.</summary>
    public long Bytes => (long)(Height + 2 * BorderY) * RowBytes;

    /// <summary>Where a pixel's signs begin; border pixels have negative coordinates, or such behind the last.</summary>
    public nint Offset(int y, int x) => (nint)(y + BorderY) * RowBytes + (nint)(x + BorderX) * PixelBytes;

    /// <summary>Where a block of 64 channels begins in a pixel.</summary>
    public int OffsetOfBlock(int block) => block * BytesOf(Block);

    /// <summary>Bytes of up to 64 channels.</summary>
    private int BytesOf(int channels) => Encoding switch
    {
        SignEncoding.SixBits => (channels + 5) / 6 * sizeof(ushort),
        SignEncoding.FourBits => (channels + 3) / 4 * sizeof(ushort),
        _ => (channels + 63) / 64 * sizeof(ulong),
    };
}
