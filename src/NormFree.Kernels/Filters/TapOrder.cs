using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Filters;

/// <summary>Changes the order of one filter's values: taps and channels change places.</summary>
/// <remarks>
/// With vectors 4×4 values at a time, whatever their width: there are no more than nine taps, as a rule. Four rows are read side by side, not all
/// nine: those of 512 channels lie half a page apart, and come from memory the slower the more they are.
/// </remarks>
internal static unsafe class TapOrder
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
    public static void ToTapsLast(float* source, float* target, int channels, int taps, bool vectors)
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
