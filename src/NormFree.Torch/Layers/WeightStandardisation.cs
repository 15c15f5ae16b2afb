using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>Scaled weight standardisation: gives every filter mean 0 and variance 1/fan_in, so that it preserves the variance of its input.</summary>
/// <remarks>
/// Forward: ŵ = (w − mean)/(std + ε)/√fan_in per output filter, with the biased standard deviation and ε = 1e-5. The gradient flows
/// through mean and deviation. Brock et al., "Characterizing signal propagation" (ICLR 2021), eq. 2, where ε is inside the root.
/// </remarks>
public static class WeightStandardisation
{
    private const double Epsilon = 1e-5;

    /// <summary>Keeps the gradient of the root finite for a filter of equal weights. It is far below ε², so it changes no value.</summary>
    private const double MinVariance = 1e-30;

    /// <summary>Standardises a convolution's weight filter by filter.</summary>
    /// <param name="weight">w, O×I×k×k.</param>
    /// <returns>ŵ, O×I×k×k.</returns>
    public static Tensor Apply(Tensor weight)
    {
        using var scope = NewDisposeScope();
        long[] filter = [1, 2, 3];
        var fanIn = weight.numel() / weight.size(0);
        var centred = weight - weight.mean(filter, keepdim: true);
        var deviation = (centred * centred).mean(filter, keepdim: true).AtLeast(MinVariance).sqrt();
        return (centred / deviation.Plus(Epsilon)).DividedBy(Math.Sqrt(fanIn)).MoveToOuterDisposeScope();
    }
}
