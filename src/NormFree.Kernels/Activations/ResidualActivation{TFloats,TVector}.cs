using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary><see cref="ResidualActivation"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ResidualActivation<TFloats, TVector> : ResidualActivation
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Forward(
        int pixels, in RPReLUParameters activation, int* counts, float* scale, float* shortcut, int shortcutChannels, float* sum, float* result)
    {
        var maps = new ForwardMaps(pixels, counts, scale, null, shortcut, shortcutChannels, sum, result);
        Forward(activation, maps);
    }

    /// <inheritdoc/>
    public override void Forward(
        int pixels, in RPReLUParameters activation, float* branch, float* shortcut, int shortcutChannels, float* sum, float* result)
    {
        var maps = new ForwardMaps(pixels, null, null, branch, shortcut, shortcutChannels, sum, result);
        Forward(activation, maps);
    }

    /// <inheritdoc/>
    public override void Backward(
        int pixels, in RPReLUParameters activation, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients)
    {
        var maps = new BackwardMaps(pixels, sum, resultGradient, sumGradient, parameterGradients);
        var whole = activation.Channels / TFloats.Lanes * TFloats.Lanes;
        ResidualActivationLoops<TFloats, TVector>.Backward(activation, maps, 0, whole);
        ResidualActivationLoops<ScalarFloats, float>.Backward(activation, maps, whole, activation.Channels);
    }

    private static void Forward(in RPReLUParameters activation, in ForwardMaps maps)
    {
        // A vector must not reach over the end of a repeating shortcut.
        var whole = maps.ShortcutChannels % TFloats.Lanes == 0 || maps.ShortcutChannels == activation.Channels
            ? activation.Channels / TFloats.Lanes * TFloats.Lanes
            : 0;
        ResidualActivationLoops<TFloats, TVector>.Forward(activation, maps, 0, whole);
        ResidualActivationLoops<ScalarFloats, float>.Forward(activation, maps, whole, activation.Channels);
    }
}
