using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace NormFree.Torch.Layers;

/// <summary>The convolution of all networks: real or binary filters, standardised or plain, without a bias.</summary>
/// <remarks>
/// Forward: y = (factor·gain·B(S(w))) ∗ x, where S is the standardisation or the identity and B the binarisation or the identity. x may be real or
/// binary: zero padding is correct for both.
/// </remarks>
public static class Convolution
{
    /// <summary>Convolves <paramref name="x"/> (N×I×H×W).</summary>
    /// <param name="x">N×I×H×W.</param>
    /// <param name="weight">w, O×I/groups×k×k.</param>
    /// <param name="gain">O×1×1×1 for standardised filters, else null.</param>
    /// <param name="options">How the effective weight is computed and applied.</param>
    /// <returns>N×O×H'×W' with H' = ⌊(H + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1.</returns>
    /// <exception cref="ArgumentException">There is a gain without standardisation, or standardisation without a gain.</exception>
    public static Tensor Apply(Tensor x, Tensor weight, Tensor? gain, in ConvolutionOptions options)
    {
        using var scope = NewDisposeScope();
        return Convolve(x, EffectiveWeight(weight, gain, options), options).MoveToOuterDisposeScope();
    }

    /// <summary>Convolves in bfloat16. The effective weight is computed in float32, and the result is float32.</summary>
    /// <inheritdoc cref="Apply"/>
    public static Tensor ApplyInBFloat16(Tensor x, Tensor weight, Tensor? gain, in ConvolutionOptions options)
    {
        using var scope = NewDisposeScope();
        var effective = EffectiveWeight(weight, gain, options).to(ScalarType.BFloat16);
        return Convolve(x.to(ScalarType.BFloat16), effective, options).to(ScalarType.Float32).MoveToOuterDisposeScope();
    }

    /// <summary>The weight that a convolution multiplies with: factor·gain·B(S(w)), O×I×k×k.</summary>
    /// <inheritdoc cref="Apply"/>
    public static Tensor EffectiveWeight(Tensor weight, Tensor? gain, in ConvolutionOptions options)
    {
        if (gain is null == options.Standardised)
            throw new ArgumentException("A standardised convolution needs a gain; a plain one must not have a gain.", nameof(gain));
        using var scope = NewDisposeScope();
        var effective = options.Standardised ? WeightStandardisation.Apply(weight) : weight.alias();
        if (options.BinaryWeight) effective = BinaryWeight.Apply(effective, options.ScaledSigns);
        if (gain is not null) effective = gain * effective;
        if (options.Factor != 1) effective = effective.Times(options.Factor);
        return effective.MoveToOuterDisposeScope();
    }

    private static Tensor Convolve(Tensor x, Tensor weight, in ConvolutionOptions options) =>
        conv2d(
            x, weight, strides: [options.Stride, options.Stride], padding: [options.Padding, options.Padding],
            dilation: [options.Dilation, options.Dilation], groups: options.Groups);
}

/// <summary>How a convolution computes and applies its effective weight.</summary>
/// <param name="Stride">Stride in pixels.</param>
/// <param name="Padding">Zero padding in pixels. It is added after the sign of a binary input, so that taps outside the map contribute 0 and not ±1.</param>
/// <param name="Standardised">Whether the filters are standardised (<see cref="WeightStandardisation"/>) and multiplied by a gain.</param>
/// <param name="BinaryWeight">Whether the filters are binarised (<see cref="Layers.BinaryWeight"/>), after standardisation and before the gain.</param>
/// <param name="Factor">Constant factor of the filters.</param>
/// <param name="ScaledSigns">Whether binary filters are multiplied by the mean of |v|.</param>
/// <param name="Dilation">Distance of a filter's taps in pixels.</param>
/// <param name="Groups">Number of groups into which the channels are split.</param>
public readonly record struct ConvolutionOptions(
    int Stride, int Padding, bool Standardised = false, bool BinaryWeight = false, double Factor = 1, bool ScaledSigns = true,
    int Dilation = 1, int Groups = 1);
