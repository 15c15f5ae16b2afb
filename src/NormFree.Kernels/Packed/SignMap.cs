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
                    var source = Pixel(y, x) + Layout.OffsetOfBlock(channel / SignLayout.Block);
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
                    var target = Pixel(y, x) + Layout.OffsetOfBlock(channel / SignLayout.Block);
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
