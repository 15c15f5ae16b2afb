using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary><see cref="ChannelScale"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ChannelScale<TFloats, TVector> : ChannelScale
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Counts(int pixels, int channels, int* counts, float* scale, float* target)
    {
        for (var pixel = 0; pixel < pixels; pixel++, counts += channels, target += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
                TFloats.Store(TFloats.Multiply(TFloats.Convert(counts + channel), TFloats.Load(scale + channel)), target + channel);
            for (; channel < channels; channel++) target[channel] = counts[channel] * scale[channel];
        }
    }

    /// <inheritdoc/>
    public override void Values(int pixels, int channels, float* values, int stride, float* scale, float* target)
    {
        for (var pixel = 0; pixel < pixels; pixel++, values += stride, target += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
                TFloats.Store(TFloats.Multiply(TFloats.Load(values + channel), TFloats.Load(scale + channel)), target + channel);
            for (; channel < channels; channel++) target[channel] = values[channel] * scale[channel];
        }
    }
}
