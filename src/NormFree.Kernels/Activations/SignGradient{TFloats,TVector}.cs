using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary><see cref="SignGradient"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class SignGradient<TFloats, TVector> : SignGradient
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Backward(in SignGradientMaps maps, float beta, float* shift, float* shiftGradient)
    {
        new Span<float>(shiftGradient, maps.Channels).Clear();
        for (var first = 0; first < maps.Pixels; first += PixelBlock.Size)
        {
            var block = maps.Slice(first, Math.Min(PixelBlock.Size, maps.Pixels - first));
            var channel = 0;
            for (; channel + TFloats.Lanes <= maps.Channels; channel += TFloats.Lanes)
                SignGradientLoop<TFloats, TVector>.Run(block, beta, shift, shiftGradient, channel);
            for (; channel < maps.Channels; channel++)
                SignGradientLoop<ScalarFloats, float>.Run(block, beta, shift, shiftGradient, channel);
        }
    }
}
