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
        var channel = 0;
        for (; channel + TFloats.Lanes <= maps.Channels; channel += TFloats.Lanes)
            SignGradientLoop<TFloats, TVector>.Run(maps, beta, shift, shiftGradient, channel);
        for (; channel < maps.Channels; channel++)
            SignGradientLoop<ScalarFloats, float>.Run(maps, beta, shift, shiftGradient, channel);
    }
}
