using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>One tensor's values with another's gradient.</summary>
internal static class StraightThrough
{
    /// <summary><paramref name="value"/> in the forward pass, the gradient of <paramref name="surrogate"/> in the backward pass.</summary>
    /// <remarks>The surrogate minus itself is exactly 0 for finite values, so the forward value is not rounded.</remarks>
    public static Tensor Apply(Tensor value, Tensor surrogate) => value.Plus(surrogate - surrogate.detach());
}
