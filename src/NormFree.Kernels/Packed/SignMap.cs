namespace NormFree.Kernels.Packed;

/// <summary>The signs of one image's map in memory of the caller's.</summary>
/// <param name="layout">How they lie.</param>
/// <param name="memory"><see cref="SignLayout.Bytes"/>.</param>
public readonly unsafe struct SignMap(SignLayout layout, byte* memory)
{
    /// <summary>How the signs lie.</summary>
    public SignLayout Layout { get; } = layout;

    /// <summary>Where the first border pixel's signs begin.</summary>
    public byte* Memory { get; } = memory;

    /// <summary>Where a pixel's signs begin.</summary>
    public byte* Pixel(int y, int x) => Memory + Layout.Offset(y, x);

    /// <summary>Reads the whole map without its border, pixels × ⌈C/64⌉ words: for comparisons.</summary>
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

    /// <summary>Writes the whole map from pixels × ⌈C/64⌉ words whose bits behind the last channel are 0; the inverse of <see cref="Decode"/>.</summary>
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

/// <summary>Where the signs of one image's map lie: rows of pixels, within a border that stands for what lies outside the map.</summary>
/// <param name="Encoding">How a pixel's signs lie.</param>
/// <param name="Height">Rows of the map.</param>
/// <param name="Width">Columns of the map.</param>
/// <param name="Channels">Of a pixel.</param>
/// <param name="PadY">Rows of border above and below.</param>
/// <param name="PadX">Columns of border left and right.</param>
public readonly record struct SignLayout(SignEncoding Encoding, int Height, int Width, int Channels, int PadY, int PadX)
{
    /// <summary>Channels that are encoded together.</summary>
    public const int Block = 64;

    /// <summary>From a pixel to the next, in bytes.</summary>
    public int PixelBytes => Channels / Block * BytesFor(Block) + BytesFor(Channels % Block);

    /// <summary>From a row to the next, in bytes.</summary>
    public int RowBytes => (Width + 2 * PadX) * PixelBytes;

    /// <summary>The whole map with its border.</summary>
    public long Bytes => (long)(Height + 2 * PadY) * RowBytes;

    /// <summary>Where a pixel's signs begin; border pixels have negative coordinates, or such behind the last.</summary>
    public nint Offset(int y, int x) => (nint)(y + PadY) * RowBytes + (nint)(x + PadX) * PixelBytes;

    /// <summary>Where a block of 64 channels begins in a pixel.</summary>
    public int BlockOffset(int block) => block * BytesFor(Block);

    /// <summary>Bytes of up to 64 channels.</summary>
    private int BytesFor(int channels) => Encoding switch
    {
        SignEncoding.SixBits => (channels + 5) / 6 * sizeof(ushort),
        SignEncoding.FourBits => (channels + 3) / 4 * sizeof(ushort),
        _ => (channels + 63) / 64 * sizeof(ulong),
    };
}
