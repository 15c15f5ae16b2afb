using System.Numerics;
using System.Runtime.Intrinsics.X86;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Filters;

/// <summary>Reorders the packed signs of one filter from I×taps to taps×I, 64 channels at a time.</summary>
/// <remarks>
/// A block of 64 channels takes as many words as there are taps, in both orders. Within a block, every taps-th bit belongs to the same tap; the mask that
/// selects these bits in a word depends on the position of the first of them.
/// </remarks>
internal static unsafe class SignReorder
{
    /// <summary>Fills <paramref name="masks"/>: mask r has bits p with p mod taps = r.</summary>
    public static void Masks(ulong* masks, int taps)
    {
        for (var residue = 0; residue < taps; residue++)
        {
            masks[residue] = 0;
            for (var bit = residue; bit < 64; bit += taps) masks[residue] |= 1UL << bit;
        }
    }

    /// <summary>Reorders bit by bit.</summary>
    /// <param name="source">words·taps words, channel by channel; 0 past the last one.</param>
    /// <param name="target">taps×words.</param>
    /// <param name="words">⌈I/64⌉.</param>
    /// <param name="taps">Number of taps.</param>
    public static void Scalar(ulong* source, ulong* target, int words, int taps)
    {
        for (var word = 0; word < words; word++, source += taps)
        {
            for (var tap = 0; tap < taps; tap++)
            {
                ulong bits = 0;
                for (int channel = 0, at = tap; channel < 64; channel++, at += taps) bits |= (source[at >> 6] >> at & 1) << channel;
                target[tap * words + word] = bits;
            }
        }
    }

    /// <summary>Reorders by extracting all bits of a mask at once (BMI2's PEXT).</summary>
    /// <param name="source">words·taps words, channel by channel; 0 past the last one.</param>
    /// <param name="target">taps×words.</param>
    /// <param name="words">⌈I/64⌉.</param>
    /// <param name="taps">Number of taps.</param>
    /// <param name="masks">From <see cref="Masks"/>.</param>
    public static void Pext(ulong* source, ulong* target, int words, int taps, ulong* masks)
    {
        var step = 64 % taps;
        for (var word = 0; word < words; word++, source += taps)
        {
            for (var tap = 0; tap < taps; tap++)
            {
                ulong bits = 0;
                for (int part = 0, residue = tap, shift = 0; part < taps; part++)
                {
                    var mask = masks[residue];
                    bits |= Bmi2.X64.ParallelBitExtract(source[part], mask) << shift;
                    shift += BitOperations.PopCount(mask);
                    residue -= step;
                    if (residue < 0) residue += taps;
                }
                target[tap * words + word] = bits;
            }
        }
    }
}

/// <summary>Reorders the float values of one filter between contiguous and channels-last layout.</summary>
/// <remarks>
/// Vectors transpose blocks of 4×4 whatever their width, since filters rarely have more than nine taps. Four rows are read side by side, not all nine: rows
/// of 512 channels are half a page apart, and reading more of them at once is slower.
/// </remarks>
internal static unsafe class WeightReorder
{
    /// <summary>Reorders I×taps to taps×I.</summary>
    /// <param name="source">Values, channel by channel.</param>
    /// <param name="target">Values, tap by tap.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Number of taps.</param>
    /// <param name="vectors">Whether vectors may be used.</param>
    public static void ToChannelsLast(float* source, float* target, int channels, int taps, bool vectors)
    {
        var (wholeTaps, wholeChannels) = vectors && FourByFour.IsSupported ? (taps & ~3, channels & ~3) : (0, 0);
        for (var tap = 0; tap < wholeTaps; tap += 4)
        {
            for (var channel = 0; channel < wholeChannels; channel += 4)
                FourByFour.Transpose(source + (long)channel * taps + tap, taps, target + (long)tap * channels + channel, channels);
        }
        for (var tap = 0; tap < taps; tap++) Single(source, target, tap < wholeTaps ? wholeChannels : 0, channels, tap, channels, taps);

        static void Single(float* source, float* target, int first, int end, int tap, int channels, int taps)
        {
            for (var channel = first; channel < end; channel++) target[(long)tap * channels + channel] = source[(long)channel * taps + tap];
        }
    }

    /// <summary>Reorders taps×I to I×taps.</summary>
    /// <param name="source">Values, tap by tap.</param>
    /// <param name="target">Values, channel by channel.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Number of taps.</param>
    /// <param name="vectors">Whether vectors may be used.</param>
    public static void ToContiguous(float* source, float* target, int channels, int taps, bool vectors)
    {
        var (wholeTaps, wholeChannels) = vectors && FourByFour.IsSupported ? (taps & ~3, channels & ~3) : (0, 0);
        for (var tap = 0; tap < wholeTaps; tap += 4)
        {
            for (var channel = 0; channel < wholeChannels; channel += 4)
                FourByFour.Transpose(source + (long)tap * channels + channel, channels, target + (long)channel * taps + tap, taps);
        }
        for (var tap = 0; tap < taps; tap++) Single(source, target, tap < wholeTaps ? wholeChannels : 0, channels, tap, channels, taps);

        static void Single(float* source, float* target, int first, int end, int tap, int channels, int taps)
        {
            for (var channel = first; channel < end; channel++) target[(long)channel * taps + tap] = source[(long)tap * channels + channel];
        }
    }
}
