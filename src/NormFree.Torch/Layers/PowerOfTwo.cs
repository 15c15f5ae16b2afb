using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>Powers of two with learned exponents: the slopes of A&amp;B BNN's quantised RPReLU (Ma et al., CVPR 2024, section 3.3).</summary>
/// <remarks>
/// Forward: y = 2^round(k), halves rounded to even. Backward: dk = ln 2 · y · dy; the gradient passes through the rounding unchanged.
/// </remarks>
public static class PowerOfTwo
{
    /// <summary>2^round(k) for each exponent of <paramref name="exponents"/>.</summary>
    public static Tensor Apply(Tensor exponents)
    {
        using var scope = NewDisposeScope();
        var rounding = (exponents.round() - exponents).detach();
        return exponents.Plus(rounding).exp2().MoveToOuterDisposeScope();
    }
}
