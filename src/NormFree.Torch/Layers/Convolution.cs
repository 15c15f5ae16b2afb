using static TorchSharp.torch.nn.functional;
using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>The one convolution of all networks: real or binary filters, standardised or plain. No convolution has a bias.</summary>
/// <remarks>
/// Forward: y = (factor·gain·B(S(w))) ∗ x, where S is the standardisation or nothing and B the binarisation or nothing. Whether x is binary is
/// the caller's affair: zero padding is right for both.
/// </remarks>
public static class Convolution
{
    /// <summary>Convolves <paramref name="x"/> (N×I×H×W).</summary>
    /// <param name="x">N×I×H×W.</param>
    /// <param name="weight">w, O×I×k×k.</param>
    /// <param name="gain">O×1×1×1, for standardised filters; else null.</param>
    /// <param name="options">How the weight is made and applied.</param>
    /// <returns>N×O×H'×W' with H' = ⌊(H + 2·padding − k)/stride⌋ + 1.</returns>
    /// <exception cref="ArgumentException">A gain without standardisation, or the other way round.</exception>
    public static Tensor Apply(Tensor x, Tensor weight, Tensor? gain, in ConvolutionOptions options)
    {
        using var scope = NewDisposeScope();
        var used = EffectiveWeight(weight, gain, options);
        return conv2d(x, used, strides: [options.Stride, options.Stride], padding: [options.Padding, options.Padding]).MoveToOuterDisposeScope();
    }

    /// <summary>The weight that a convolution multiplies with: factor·gain·B(S(w)), O×I×k×k.</summary>
    /// <inheritdoc cref="Apply"/>
    public static Tensor EffectiveWeight(Tensor weight, Tensor? gain, in ConvolutionOptions options)
    {
        if (gain is null == options.Standardised)
            throw new ArgumentException("A standardised convolution has a gain, a plain one has none.", nameof(gain));
        using var scope = NewDisposeScope();
        var used = options.Standardised ? WeightStandardisation.Apply(weight) : weight.alias();
        if (options.BinaryWeight) used = BinaryWeight.Apply(used);
        if (gain is not null) used = gain * used;
        if (options.Factor != 1) used = used.Times(options.Factor);
        return used.MoveToOuterDisposeScope();
    }
}

/// <summary>How a convolution uses its parameters.</summary>
/// <param name="Stride">Step over the map, in pixels.</param>
/// <param name="Padding">Zeros added around the map: after the sign where the input is binary, so that outside taps contribute 0 and not ±1.</param>
/// <param name="Standardised">The filters are standardised (<see cref="WeightStandardisation"/>), then multiplied by a gain.</param>
/// <param name="BinaryWeight">The filters are binarised (<see cref="Layers.BinaryWeight"/>), after standardisation and before the gain.</param>
/// <param name="Factor">Constant factor of the filters.</param>
public readonly record struct ConvolutionOptions(
    int Stride, int Padding, bool Standardised = false, bool BinaryWeight = false, double Factor = 1);
