using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Bits;

/// <summary><see cref="SignCounts"/> on one instruction set: a vector of channels down all pixels, then the rest one by one.</summary>
internal sealed unsafe class SignCounts<TFloats, TVector> : SignCounts
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Count(float* source, int pixels, int channels, float scale, float* shift, float* counts)
    {
        var channel = 0;
        for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
            TFloats.Store(Column(source + channel, pixels, channels, scale, TFloats.Load(shift + channel)), counts + channel);
        for (; channel < channels; channel++) counts[channel] = Rest(source + channel, pixels, channels, scale, shift[channel]);
    }

    private static TVector Column(float* source, int pixels, int channels, float scale, TVector shift)
    {
        TVector factor = TFloats.Broadcast(scale), zero = TFloats.Broadcast(0), one = TFloats.Broadcast(1);
        // The number next to 0 from below: t ≥ 0 is t above it, of either zero too, and NaN is not.
        var below = TFloats.Broadcast(-float.Epsilon);
        var count = zero;
        for (var pixel = 0; pixel < pixels; pixel++, source += channels)
        {
            var t = TFloats.Add(TFloats.Multiply(TFloats.Load(source), factor), shift);
            count = TFloats.Add(count, TFloats.Select(TFloats.LessThan(below, t), one, zero));
        }
        return count;
    }

    private static float Rest(float* source, int pixels, int channels, float scale, float shift)
    {
        var count = 0;
        for (var pixel = 0; pixel < pixels; pixel++, source += channels)
            if (source[0] * scale + shift >= 0) count++;
        return count;
    }
}
