using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>A convolution of binary activations, α·(w ∗ sign(β·x + b)), or several side by side on the same input.</summary>
/// <param name="Key">Its name in profiles and messages.</param>
/// <param name="In">Channels of x.</param>
/// <param name="Outs">Output channels of each convolution; their results are concatenated.</param>
/// <param name="Kernel">Rows and columns of a filter.</param>
/// <param name="Stride">Step over the map, in pixels.</param>
/// <param name="Padding">Zeros around the map, added after the sign.</param>
/// <param name="Beta">β.</param>
/// <param name="Standardised">The filters are standardised and have a gain.</param>
/// <param name="BinaryWeight">The filters are binary.</param>
/// <param name="Factor">α times the constant factor of the filters.</param>
/// <param name="Precision">Of products of real numbers.</param>
public sealed record BinaryConvolutionOptions(
    string Key, int In, IReadOnlyList<int> Outs, int Kernel, int Stride, int Padding,
    float Beta, bool Standardised, bool BinaryWeight, float Factor, FusedPrecision Precision = FusedPrecision.Float32)
{
    /// <summary>Channels of the result.</summary>
    public int Out => Outs.Sum();
}

/// <summary>The numbers that real × real convolutions multiply. Everything else is float32: master weights, shifts, sums, losses.</summary>
public enum FusedPrecision
{
    /// <summary>32 bits.</summary>
    Float32,

    /// <summary>bfloat16: 8 bits of precision, the range of float32. Products of real numbers with signs stay in float32, where tables are faster.</summary>
    BFloat16,
}

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
