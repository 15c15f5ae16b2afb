using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Packed;

/// <summary>How a shortcut of few channels repeats in a result of many, 64 channels at a time.</summary>
internal readonly struct Repeats
{
    private readonly int channels;
    private readonly bool once;

    /// <param name="channels">The shortcut's channels.</param>
    /// <param name="all">The result's.</param>
    /// <param name="lanes">Channels of a vector.</param>
    public Repeats(int channels, int all, int lanes)
    {
        this.channels = channels;
        once = channels == all;
        var fills = once || channels % SignLayout.Block == 0;
        Mask = fills ? -1 : channels - 1;
        Vectors = fills || SignLayout.Block % channels == 0 && channels % lanes == 0;
    }

    /// <summary>Whether 64 channels can be read by vectors: none reaches over the shortcut's end, and <see cref="Mask"/> leads back to its beginning.</summary>
    public bool Vectors { get; }

    /// <summary>To be laid over the channels that are counted from <see cref="Start"/>.</summary>
    public nint Mask { get; }

    /// <summary>The shortcut's channel that the first of 64 of the result's meets.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Start(int first) => once ? first : first % channels;

    /// <summary>The shortcut's channel that one of the result's meets.</summary>
    public int Channel(int channel) => channel % channels;
}
