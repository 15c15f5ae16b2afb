using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Filters;

/// <summary>Changes the order of one filter's values: taps and channels change places.</summary>
/// <remarks>With vectors 4×4 values at a time, whatever their width: there are no more than nine taps, as a rule.</remarks>
internal static unsafe class TapOrder
{
    // Four rows are read side by side, not all nine: those of 512 channels lie half a page apart, and come from memory the slower the more they are.
    private static bool HasVectors => Sse.IsSupported || AdvSimd.Arm64.IsSupported;

    /// <summary>I×taps to taps×I.</summary>
    /// <param name="source">Values, channel by channel.</param>
    /// <param name="target">Values, tap by tap.</param>
    /// <param name="channels">I.</param>
    /// <param name="taps">Positions.</param>
    /// <param name="vectors">Whether vectors may be used.</param>
    public static void ToChannelsLast(float* source, float* target, int channels, int taps, bool vectors)
    {
        var (wholeTaps, wholeChannels) = vectors && HasVectors ? (taps & ~3, channels & ~3) : (0, 0);
        for (var tap = 0; tap < wholeTaps; tap += 4)
        {
            for (var channel = 0; channel < wholeChannels; channel += 4)
                Block(source + (long)channel * taps + tap, taps, target + (long)tap * channels + channel, channels);
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
        var (wholeTaps, wholeChannels) = vectors && HasVectors ? (taps & ~3, channels & ~3) : (0, 0);
        for (var tap = 0; tap < wholeTaps; tap += 4)
        {
            for (var channel = 0; channel < wholeChannels; channel += 4)
                Block(source + (long)tap * channels + channel, channels, target + (long)channel * taps + tap, taps);
        }
        for (var tap = 0; tap < taps; tap++) Single(source, target, tap < wholeTaps ? wholeChannels : 0, channels, tap, channels, taps);

        static void Single(float* source, float* target, int first, int end, int tap, int channels, int taps)
        {
            for (var channel = first; channel < end; channel++) target[(long)channel * taps + tap] = source[(long)tap * channels + channel];
        }
    }

    /// <summary>Transposes 4×4 values; rows lie <paramref name="sourceStep"/> and <paramref name="targetStep"/> values apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Block(float* source, int sourceStep, float* target, int targetStep)
    {
        var (a, b) = (Vector128.Load(source), Vector128.Load(source + sourceStep));
        var (c, d) = (Vector128.Load(source + 2 * sourceStep), Vector128.Load(source + 3 * sourceStep));
        var (ac, bd) = (Low(a, c), Low(b, d));
        var (highAc, highBd) = (High(a, c), High(b, d));
        Low(ac, bd).Store(target);
        High(ac, bd).Store(target + targetStep);
        Low(highAc, highBd).Store(target + 2 * targetStep);
        High(highAc, highBd).Store(target + 3 * targetStep);
    }

    /// <summary>a₀ b₀ a₁ b₁.</summary>
    private static Vector128<float> Low(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

    /// <summary>a₂ b₂ a₃ b₃.</summary>
    private static Vector128<float> High(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);
}
