namespace NormFree.Kernels.Packed;

/// <summary>A view of one image's sign map in memory that the caller owns.</summary>
/// <param name="layout">Layout of the signs.</param>
/// <param name="memory"><see cref="SignLayout.Bytes"/> bytes.</param>
public readonly unsafe struct SignMap(SignLayout layout, byte* memory)
{
    /// <summary>Layout of the signs.</summary>
    public SignLayout Layout { get; } = layout;

    /// <summary>Address of the first pixel, including the padding.</summary>
    public byte* Memory { get; } = memory;

    /// <summary>Address of a pixel.</summary>
    public byte* Pixel(int y, int x) => Memory + Layout.Offset(y, x);

    /// <summary>Reads the map without its padding into pixels × ⌈C/64⌉ words.</summary>
    public void Decode(ulong* words)
    {
        for (var y = 0; y < Layout.Height; y++)
            for (var x = 0; x < Layout.Width; x++)
                for (var channel = 0; channel < Layout.Channels; channel += SignLayout.Block)
                {
                    var source = Pixel(y, x) + Layout.BlockOffset(channel / SignLayout.Block);
                    var channels = Math.Min(SignLayout.Block, Layout.Channels - channel);
                    *words++ = Layout.Encoding switch
                    {
                        SignEncoding.SixBits => SixBitEncoder.Read(source, channels),
                        SignEncoding.FourBits => FourBitEncoder.Read(source, channels),
                        _ => WordEncoder.Read(source, channels),
                    };
                }
    }

    /// <summary>Writes the map from pixels × ⌈C/64⌉ words, whose bits past the last channel are 0; the inverse of <see cref="Decode"/>.</summary>
    public void Encode(ulong* words)
    {
        for (var y = 0; y < Layout.Height; y++)
            for (var x = 0; x < Layout.Width; x++)
                for (var channel = 0; channel < Layout.Channels; channel += SignLayout.Block)
                {
                    var target = Pixel(y, x) + Layout.BlockOffset(channel / SignLayout.Block);
                    var channels = Math.Min(SignLayout.Block, Layout.Channels - channel);
                    switch (Layout.Encoding)
                    {
                        case SignEncoding.SixBits: SixBitEncoder.Write(*words++, channels, target); break;
                        case SignEncoding.FourBits: FourBitEncoder.Write(*words++, channels, target); break;
                        default: WordEncoder.Write(*words++, channels, target); break;
                    }
                }
    }
}

/// <summary>Memory layout of one image's sign map: rows of pixels, surrounded by padding.</summary>
/// <param name="Encoding">Encoding of a pixel's signs.</param>
/// <param name="Height">Height of the map without padding.</param>
/// <param name="Width">Width of the map without padding.</param>
/// <param name="Channels">Number of channels.</param>
/// <param name="PadY">Rows of padding above and below.</param>
/// <param name="PadX">Columns of padding left and right.</param>
public readonly record struct SignLayout(SignEncoding Encoding, int Height, int Width, int Channels, int PadY, int PadX)
{
    /// <summary>Channels per block; the encoding of a block does not depend on other blocks.</summary>
    public const int Block = 64;

    /// <summary>Bytes from one pixel to the next.</summary>
    public int PixelBytes => Channels / Block * BytesFor(Block) + BytesFor(Channels % Block);

    /// <summary>Bytes from one row to the next.</summary>
    public int RowBytes => (Width + 2 * PadX) * PixelBytes;

    /// <summary>Bytes of the map, including the padding.</summary>
    public long Bytes => (long)(Height + 2 * PadY) * RowBytes;

    /// <summary>Byte offset of a pixel. Coordinates of padding are negative or past the end.</summary>
    public nint Offset(int y, int x) => (nint)(y + PadY) * RowBytes + (nint)(x + PadX) * PixelBytes;

    /// <summary>Byte offset of a block of 64 channels within a pixel.</summary>
    public int BlockOffset(int block) => block * BytesFor(Block);

    /// <summary>Bytes for up to 64 channels.</summary>
    private int BytesFor(int channels) => Encoding switch
    {
        SignEncoding.SixBits => (channels + 5) / 6 * sizeof(ushort),
        SignEncoding.FourBits => (channels + 3) / 4 * sizeof(ushort),
        _ => (channels + 63) / 64 * sizeof(ulong),
    };
}
