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
        int begin = range.FirstFilter, end = begin + range.Filters, all = parameters.Channels;
        var repeats = new Repeats(shortcutChannels, all, TFloats.Lanes);
        var signs = new PixelSigns(next, range.FirstPixel);
        result += (long)range.FirstPixel * all;
        shortcut += (long)range.FirstPixel * shortcutChannels;
        for (var pixel = 0; pixel < range.Pixels; pixel++, result += all, shortcut += shortcutChannels)
        {
            for (var first = begin; first < end; first += Block)
            {
                var channels = Math.Min(Block, end - first);
                var bits = Activate(parameters, first, channels, counts, shortcut, repeats, result + first, threshold);
                if (threshold != null) TEncoder.Write(bits, channels, signs.Block(first / Block));
                counts += channels;
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

    /// <summary>y of up to 64 channels of a pixel, and their signs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Activate(
        in EpilogueParameters parameters, int first, int channels, int* counts, float* shortcut, in Repeats repeats, float* result,
        float* threshold)
    {
        float* scale = parameters.Scale + first, bias = parameters.Bias + first, slope = parameters.Slope + first, shift = parameters.Shift + first;
        var source = shortcut + repeats.Start(first);
        var bits = 0UL;
        nint i = 0;
        if (repeats.Vectors)
            for (; i <= channels - TFloats.Lanes; i += TFloats.Lanes)
            {
                var z = TFloats.MultiplyAdd(TFloats.Convert(counts + i), TFloats.Load(scale + i), TFloats.Load(bias + i));
                z = TFloats.Add(z, TFloats.Load(source + (i & repeats.Mask)));
                var negative = TFloats.Multiply(z, TFloats.Load(slope + i));
                var y = TFloats.Add(TFloats.Select(TFloats.LessThan(TFloats.Broadcast(0), z), z, negative), TFloats.Load(shift + i));
                TFloats.Store(y, result + i);
                if (threshold != null) bits |= TSigns.AtLeast(y, TFloats.Load(threshold + first + i)) << (int)i;
            }
        for (; i < channels; i++)
        {
            var z = counts[i] * scale[i] + bias[i] + shortcut[repeats.Channel(first + (int)i)];
            var y = (z > 0 ? z : slope[i] * z) + shift[i];
            result[i] = y;
            if (threshold != null) bits |= ScalarSigns.AtLeast(y, threshold[first + i]) << (int)i;
        }
        return bits;
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
