using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary><see cref="ChannelCentering"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ChannelCentering<TFloats, TVector> : ChannelCentering
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Pixels(int pixels, int channels, float* values)
    {
        for (var pixel = 0; pixel < pixels; pixel++, values += channels) Subtract(channels, values, Sum(channels, values) / channels);
    }

    private static float Sum(int channels, float* values)
    {
        var sums = TFloats.Broadcast(0);
        var channel = 0;
        for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes) sums = TFloats.Add(sums, TFloats.Load(values + channel));
        var total = TFloats.Sum(sums);
        for (; channel < channels; channel++) total += values[channel];
        return total;
    }

    private static void Subtract(int channels, float* values, float mean)
    {
        var means = TFloats.Broadcast(mean);
        var channel = 0;
        for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
            TFloats.Store(TFloats.Subtract(TFloats.Load(values + channel), means), values + channel);
        for (; channel < channels; channel++) values[channel] -= mean;
    }
}
