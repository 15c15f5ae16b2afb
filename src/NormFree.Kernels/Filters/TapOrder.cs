namespace NormFree.Kernels.Filters;

/// <summary>Changes the order of one filter's values; a filter lies in the first-level cache, so that strides cost nothing.</summary>
internal static unsafe class TapOrder
{
    /// <summary>I×taps to taps×I.</summary>
    /// <param name="source">Values, channel by channel.</param>
    /// <param name="target">Values, tap by tap.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Positions.</param>
    public static void ToChannelsLast(float* source, float* target, int channels, int taps)
    {
        for (var tap = 0; tap < taps; tap++, target += channels)
        {
            var from = source + tap;
            var c = 0;
            for (; c + 4 <= channels; c += 4, from += 4 * taps)
            {
                target[c] = from[0];
                target[c + 1] = from[taps];
                target[c + 2] = from[2 * taps];
                target[c + 3] = from[3 * taps];
            }
            for (; c < channels; c++, from += taps) target[c] = *from;
        }
    }

    /// <summary>taps×I to I×taps.</summary>
    /// <param name="source">Values, tap by tap.</param>
    /// <param name="target">Values, channel by channel.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Positions.</param>
    public static void ToTapsLast(float* source, float* target, int channels, int taps)
    {
        for (var tap = 0; tap < taps; tap++, source += channels)
        {
            var to = target + tap;
            var c = 0;
            for (; c + 4 <= channels; c += 4, to += 4 * taps)
            {
                to[0] = source[c];
                to[taps] = source[c + 1];
                to[2 * taps] = source[c + 2];
                to[3 * taps] = source[c + 3];
            }
            for (; c < channels; c++, to += taps) *to = source[c];
        }
    }
}
