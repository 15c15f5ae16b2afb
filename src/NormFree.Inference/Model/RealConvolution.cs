namespace NormFree.Inference.Model;

/// <summary>A convolution of real numbers: y = w ∗ x + bias; zeros are padded.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="In">Channels of its input.</param>
/// <param name="Out">Filters.</param>
/// <param name="Kernel">Side of the square kernel.</param>
/// <param name="Stride">Step from one output pixel to the next, in input pixels.</param>
/// <param name="Padding">Rows and columns of zeros added on each side.</param>
/// <param name="Weights">Out × In × Kernel × Kernel.</param>
/// <param name="Bias">One a filter.</param>
public sealed record RealConvolution(
    string Key, int In, int Out, int Kernel, int Stride, int Padding, float[] Weights, float[] Bias) : PackedLayer(Key);
