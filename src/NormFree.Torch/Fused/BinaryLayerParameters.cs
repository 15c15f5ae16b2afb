using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The trained tensors of a binary layer.</summary>
/// <param name="Shift">b before the sign, 1×C×1×1.</param>
/// <param name="Weights">One a convolution, O×C×k×k.</param>
/// <param name="Gains">One a convolution, O×1×1×1; none where filters are not standardised.</param>
/// <param name="Activation">RPReLU's shift, slope, shift; none where a norm follows the convolution.</param>
public sealed record BinaryLayerParameters(
    Tensor Shift, IReadOnlyList<Tensor> Weights, IReadOnlyList<Tensor> Gains, IReadOnlyList<Tensor> Activation)
{
    /// <summary>Weight and gain of each convolution, or the weights alone.</summary>
    internal IReadOnlyList<Tensor> Filters => Gains.Count == 0 ? Weights : [.. Weights.Zip(Gains).SelectMany(pair => new[] { pair.First, pair.Second })];
}
