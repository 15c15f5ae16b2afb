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

/// <summary>Binarises filters, with one scale per filter.</summary>
/// <remarks>
/// Forward: s·sign(v) with s = mean(|v|) per output filter. Backward: straight-through for −1 ≤ v ≤ 1, else 0; s is treated as a constant.
/// Rastegari et al., "XNOR-Net" (ECCV 2016), section 3.1; the constant s follows ReActNet's code.
/// </remarks>
public static class BinaryWeight
{
    /// <summary>Binarises a convolution's weight (plain or standardised), O×I×k×k.</summary>
    public static Tensor Apply(Tensor weight)
    {
        using var scope = NewDisposeScope();
        var constant = weight.detach();
        var binary = constant.abs().mean([1, 2, 3], keepdim: true) * constant.sign();
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
