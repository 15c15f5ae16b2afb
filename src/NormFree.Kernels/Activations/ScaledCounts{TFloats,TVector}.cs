using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary><see cref="ScaledCounts"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ScaledCounts<TFloats, TVector> : ScaledCounts
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Convert(int pixels, int channels, int* counts, float* scale, float* values)
    {
        for (var pixel = 0; pixel < pixels; pixel++, counts += channels, values += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
                TFloats.Store(TFloats.Multiply(TFloats.Convert(counts + channel), TFloats.Load(scale + channel)), values + channel);
            for (; channel < channels; channel++) values[channel] = counts[channel] * scale[channel];
        }
    }
}
