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
        new Span<float>(parameterGradients, 3 * activation.Channels).Clear();
        for (var first = 0; first < pixels; first += PixelBlock.Size)
        {
            var block = maps.Slice(first, Math.Min(PixelBlock.Size, pixels - first), activation.Channels);
            ResidualActivationLoops<TFloats, TVector>.Backward(activation, block, 0, whole);
            ResidualActivationLoops<ScalarFloats, float>.Backward(activation, block, whole, activation.Channels);
        }
    }

    private static void Forward(in RPReLUParameters activation, in ForwardMaps maps)
    {
        // A vector must not reach over the end of a repeating shortcut.
        var whole = maps.ShortcutChannels % TFloats.Lanes == 0 || maps.ShortcutChannels == activation.Channels
            ? activation.Channels / TFloats.Lanes * TFloats.Lanes
            : 0;
        for (var first = 0; first < maps.Pixels; first += PixelBlock.Size)
        {
            var block = maps.Slice(first, Math.Min(PixelBlock.Size, maps.Pixels - first), activation.Channels);
            ResidualActivationLoops<TFloats, TVector>.Forward(activation, block, 0, whole);
            ResidualActivationLoops<ScalarFloats, float>.Forward(activation, block, whole, activation.Channels);
        }
    }
}
