using System.Runtime.CompilerServices;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="ResidualEpilogue"/> on one instruction set and encoding: pixel by pixel, 64 channels at a time.</summary>
internal sealed unsafe class ResidualEpilogue<TFloats, TSigns, TEncoder, TVector> : ResidualEpilogue
    where TFloats : struct, IFloatVectors<TVector>
    where TSigns : struct, ISignVectors<TVector>
    where TEncoder : struct, ISignEncoder
    where TVector : unmanaged
{
    private const int Block = SignLayout.Block;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Finish(
        in EpilogueParameters parameters, in OutputRange range, int* counts, float* shortcut, int shortcutChannels, float* result, float* threshold,
        SignMap next)
    {
        // A vector must not reach over the end of a repeating shortcut.
        var repeats = shortcutChannels != parameters.Channels;
        var vectors = !repeats || shortcutChannels % TFloats.Lanes == 0;
        var firstInShortcut = range.FirstFilter % shortcutChannels;
        var signs = new PixelSigns(next, range.FirstPixel);
        for (var pixel = 0; pixel < range.Pixels; pixel++)
        {
            var target = result + (long)(range.FirstPixel + pixel) * parameters.Channels;
            var source = shortcut + (long)(range.FirstPixel + pixel) * shortcutChannels;
            var inShortcut = firstInShortcut;
            for (var first = range.FirstFilter; first < range.FirstFilter + range.Filters; first += Block)
            {
                var channels = Math.Min(Block, range.FirstFilter + range.Filters - first);
                var whole = vectors ? channels / TFloats.Lanes * TFloats.Lanes : 0;
                var bits = 0UL;
                for (var i = 0; i < whole; i += TFloats.Lanes)
                {
                    var y = Activate(parameters, first + i, counts + i, source + inShortcut);
                    TFloats.Store(y, target + first + i);
                    if (threshold != null) bits |= TSigns.AtLeast(y, TFloats.Load(threshold + first + i)) << i;
                    if ((inShortcut += TFloats.Lanes) == shortcutChannels) inShortcut = 0;
                }
                for (var i = whole; i < channels; i++)
                {
                    var y = ResidualEpilogue<ScalarFloats, ScalarSigns, TEncoder, float>.Activate(parameters, first + i, counts + i, source + inShortcut);
                    target[first + i] = y;
                    if (threshold != null) bits |= ScalarSigns.AtLeast(y, threshold[first + i]) << i;
                    if (++inShortcut == shortcutChannels) inShortcut = 0;
                }
                counts += channels;
                if (threshold != null) TEncoder.Write(bits, channels, signs.Block(first / Block));
            }
            if (threshold != null) signs.Next();
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Pack(int firstPixel, int pixels, float* map, float* threshold, SignMap signs)
    {
        var all = signs.Layout.Channels;
        var to = new PixelSigns(signs, firstPixel);
        var source = map + (long)firstPixel * all;
        for (var pixel = 0; pixel < pixels; pixel++, source += all, to.Next())
            for (var first = 0; first < all; first += Block)
            {
                var channels = Math.Min(Block, all - first);
                TEncoder.Write(Bits(source + first, threshold + first, channels), channels, to.Block(first / Block));
            }
    }

    /// <summary>y of a vector of channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector Activate(in EpilogueParameters parameters, int channel, int* counts, float* shortcut)
    {
        var z = TFloats.MultiplyAdd(TFloats.Convert(counts), TFloats.Load(parameters.Scale + channel), TFloats.Load(parameters.Bias + channel));
        z = TFloats.Add(z, TFloats.Load(shortcut));
        var negative = TFloats.Multiply(z, TFloats.Load(parameters.Slope + channel));
        var active = TFloats.Select(TFloats.LessThan(TFloats.Broadcast(0), z), z, negative);
        return TFloats.Add(active, TFloats.Load(parameters.Shift + channel));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Bits(float* values, float* threshold, int channels)
    {
        var bits = 0UL;
        var i = 0;
        for (; i <= channels - TFloats.Lanes; i += TFloats.Lanes) bits |= TSigns.AtLeast(TFloats.Load(values + i), TFloats.Load(threshold + i)) << i;
        for (; i < channels; i++) bits |= ScalarSigns.AtLeast(values[i], threshold[i]) << i;
        return bits;
    }
}
