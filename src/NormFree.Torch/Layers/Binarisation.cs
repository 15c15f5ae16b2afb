using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>Binarises activations: the sign function with the gradient of a piecewise polynomial.</summary>
/// <remarks>
/// <para>Forward: y = sign(x), with sign(0) = 0. Backward: dx = (2 − 2·|x|)·dy for −1 ≤ x &lt; 1, else 0.</para>
/// <para>The gradient is that of p(x) = 2c − c·|c| with c = clamp(x, −1, 1), which approximates the sign (Liu et al., "Bi-Real Net", ECCV 2018,
/// eq. 5–6). A packed network defines sign(0) = +1 (deviation 13 of the method).</para>
/// </remarks>
public static class ApproximateSign
{
    /// <summary>Applies the sign to every value.</summary>
    /// <param name="x">Any shape, floating point.</param>
    /// <returns>Exactly −1, 0 or +1; shape and type of <paramref name="x"/>.</returns>
    public static Tensor Apply(Tensor x)
    {
        using var scope = NewDisposeScope();
        var sign = x.detach().sign();
        if (!x.requires_grad) return sign.MoveToOuterDisposeScope();
        var clamped = x.Between(-1, 1);
        var polynomial = clamped * clamped.abs().neg().Plus(2);
        return StraightThrough.Apply(sign, polynomial).MoveToOuterDisposeScope();
    }
}

/// <summary>Sign functions with other gradients. Forward: y = sign(x), with sign(0) = 0.</summary>
public static class SignFunctions
{
    /// <summary>Backward: dx = dy where |x| ≤ <paramref name="bound"/>, else 0 (Hubara et al., "Binarized neural networks", NeurIPS 2016).</summary>
    public static Tensor StraightThroughSign(Tensor x, double bound) => WithGradientOf(x, input => input.Between(-bound, bound));

    /// <summary>Backward: dx = 2k·σ(kx)·(1 − σ(kx))·dy.</summary>
    public static Tensor SigmoidSign(Tensor x, double k) => WithGradientOf(x, input => input.Times(k).sigmoid().Times(2));

    /// <summary>Backward: dx = k·(1 − tanh²(kx))·dy.</summary>
    public static Tensor TanhSign(Tensor x, double k) => WithGradientOf(x, input => input.Times(k).tanh());

    /// <summary>Backward: dx = β·(2 − βx·tanh(βx/2))/(1 + cosh(βx))·dy, the derivative of 2σ(βx)·(1 + βx·(1 − σ(βx))) − 1 (Darabi et al., "BNN+",
    /// 2018, eq. 6).</summary>
    public static Tensor SwishSign(Tensor x, double beta) => WithGradientOf(x, input =>
    {
        var scaled = input.Times(beta);
        var sigmoid = scaled.sigmoid();
        return (sigmoid * (scaled * sigmoid.neg().Plus(1)).Plus(1)).Times(2);
    });

    private static Tensor WithGradientOf(Tensor x, Func<Tensor, Tensor> surrogate)
    {
        using var scope = NewDisposeScope();
        var sign = x.detach().sign();
        if (!x.requires_grad) return sign.MoveToOuterDisposeScope();
        return StraightThrough.Apply(sign, surrogate(x)).MoveToOuterDisposeScope();
    }
}

/// <summary>Binarises filters.</summary>
/// <remarks>
/// Forward: s·sign(v) with s = mean(|v|) per output filter, or sign(v). Backward: straight-through for −1 ≤ v ≤ 1, else 0; s is treated as a constant.
/// Rastegari et al., "XNOR-Net" (ECCV 2016), section 3.1; the constant s follows ReActNet's code.
/// </remarks>
public static class BinaryWeight
{
    /// <summary>Binarises a convolution's weight (plain or standardised), O×I×k×k.</summary>
    /// <param name="weight">v.</param>
    /// <param name="scaled">Whether the signs are multiplied by s.</param>
    public static Tensor Apply(Tensor weight, bool scaled = true)
    {
        using var scope = NewDisposeScope();
        var constant = weight.detach();
        var signs = constant.sign();
        var binary = scaled ? constant.abs().mean([1, 2, 3], keepdim: true) * signs : signs;
        if (!weight.requires_grad) return binary.MoveToOuterDisposeScope();
        return StraightThrough.Apply(binary, weight.Between(-1, 1)).MoveToOuterDisposeScope();
    }
}

/// <summary>The straight-through estimator: the value of one tensor with the gradient of another.</summary>
internal static class StraightThrough
{
    /// <summary>Returns <paramref name="value"/> in the forward pass and the gradient of <paramref name="surrogate"/> in the backward pass.</summary>
    /// <remarks>The surrogate minus itself is exactly 0 for finite values, so the forward value is not rounded.</remarks>
    public static Tensor Apply(Tensor value, Tensor surrogate) => value.Plus(surrogate - surrogate.detach());
}
