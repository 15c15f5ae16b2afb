using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>Binary filters with one scale each.</summary>
/// <remarks>
/// Forward: s·sign(v) with s = mean(|v|) per output filter. Backward: straight through where −1 ≤ v ≤ 1, else 0; s counts as a constant.
/// Rastegari et al., "XNOR-Net" (ECCV 2016), section 3.1; the constant s as in ReActNet's code.
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
