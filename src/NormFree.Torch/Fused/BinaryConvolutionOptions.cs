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
