using NormFree.Kernels.Activations;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>A binary convolution α·(w ∗ sign(β·x + b)), or several of the same input whose outputs are concatenated.</summary>
/// <param name="Key">The layer's name in profiles and messages.</param>
/// <param name="In">Channels of x.</param>
/// <param name="Outs">Output channels of each convolution.</param>
/// <param name="Kernel">Height and width of a filter.</param>
/// <param name="Stride">Stride in pixels.</param>
/// <param name="Padding">Zero padding in pixels, added after the sign.</param>
/// <param name="Beta">β.</param>
/// <param name="Standardised">Whether the filters are standardised and multiplied by a gain.</param>
/// <param name="BinaryWeight">Whether the filters are binary.</param>
/// <param name="Factor">α times the constant factor of the filters.</param>
/// <param name="Precision">The precision of real × real products.</param>
/// <param name="Estimator">The derivative of the sign in the backward pass.</param>
public sealed record BinaryConvolutionOptions(
    string Key, int In, IReadOnlyList<int> Outs, int Kernel, int Stride, int Padding,
    float Beta, bool Standardised, bool BinaryWeight, float Factor, FusedPrecision Precision = FusedPrecision.Float32,
    SignEstimator Estimator = default)
{
    /// <summary>Channels of the result.</summary>
    public int Out => Outs.Sum();
}

/// <summary>The precision of real × real convolutions. Everything else is float32: master weights, shifts, sums and losses.</summary>
public enum FusedPrecision
{
    /// <summary>32 bits.</summary>
    Float32,

    /// <summary>bfloat16: 8 bits of precision, the range of float32. Real × sign products stay in float32, where table lookups are faster.</summary>
    BFloat16,
}

/// <summary>The trainable tensors of a binary layer.</summary>
/// <param name="Shift">b before the sign, 1×C×1×1.</param>
/// <param name="Weights">One per convolution, O×C×k×k.</param>
/// <param name="Gains">One per convolution, O×1×1×1; empty if the filters are not standardised.</param>
/// <param name="Activation">RPReLU's input shift, slope and output shift; empty if a norm follows the convolution.</param>
public sealed record BinaryLayerParameters(
    Tensor Shift, IReadOnlyList<Tensor> Weights, IReadOnlyList<Tensor> Gains, IReadOnlyList<Tensor> Activation)
{
    /// <summary>Weight and gain of each convolution in turn, or the weights alone.</summary>
    internal IReadOnlyList<Tensor> Filters => Gains.Count == 0 ? Weights : [.. Weights.Zip(Gains).SelectMany(pair => new[] { pair.First, pair.Second })];
}
