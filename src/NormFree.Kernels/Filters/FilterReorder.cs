using System.Numerics;
using System.Runtime.Intrinsics.X86;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Filters;

/// <summary>Changes the order of one filter's signs, from I×taps to taps×I: one bit a weight, 64 channels at a time.</summary>
/// <remarks>
/// 64 channels are as many words as there are taps, in both orders. A tap's bits stand at every taps-th place of such a block; where in its first
/// word they begin tells the mask that picks them out.
/// </remarks>
internal static unsafe class SignReorder
{
    /// <summary>Fills <paramref name="masks"/>: the r-th has the bits p of a word with p mod taps = r.</summary>
    public static void Masks(ulong* masks, int taps)
    {
        for (var residue = 0; residue < taps; residue++)
        {
            masks[residue] = 0;
            for (var bit = residue; bit < 64; bit += taps) masks[residue] |= 1UL << bit;
        }
    }

    /// <summary>Bit by bit.</summary>
    /// <param name="source">words·taps words: channel by channel, 0 behind the last one.</param>
    /// <param name="target">taps×words.</param>
    /// <param name="words">⌈I/64⌉.</param>
    /// <param name="taps">Positions.</param>
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

    /// <summary>By extraction of a whole mask of bits at once (BMI2).</summary>
    /// <param name="source">words·taps words: channel by channel, 0 behind the last one.</param>
    /// <param name="target">taps×words.</param>
    /// <param name="words">⌈I/64⌉.</param>
    /// <param name="taps">Positions.</param>
    /// <param name="masks">From <see cref="Masks"/>.</param>
    public static void Bmi2(ulong* source, ulong* target, int words, int taps, ulong* masks)
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
                    bits |= System.Runtime.Intrinsics.X86.Bmi2.X64.ParallelBitExtract(source[part], mask) << shift;
                    shift += BitOperations.PopCount(mask);
                    residue -= step;
                    if (residue < 0) residue += taps;
                }
                target[tap * words + word] = bits;
            }
        }
    }
}

/// <summary>Changes the order of one filter's values: taps and channels change places.</summary>
/// <remarks>
/// With vectors 4×4 values at a time, whatever their width: there are no more than nine taps, as a rule. Four rows are read side by side, not all
/// nine: those of 512 channels lie half a page apart, and come from memory the slower the more they are.
/// </remarks>
internal static unsafe class WeightReorder
{
    /// <summary>I×taps to taps×I.</summary>
    /// <param name="source">Values, channel by channel.</param>
    /// <param name="target">Values, tap by tap.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Positions.</param>
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

    /// <summary>taps×I to I×taps.</summary>
    /// <param name="source">Values, tap by tap.</param>
    /// <param name="target">Values, channel by channel.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Positions.</param>
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
