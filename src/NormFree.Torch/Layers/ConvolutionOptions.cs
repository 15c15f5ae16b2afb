namespace NormFree.Torch.Layers;

/// <summary>How a convolution uses its parameters.</summary>
/// <param name="Stride">Step over the map, in pixels.</param>
/// <param name="Padding">Zeros added around the map: after the sign where the input is binary, so that outside taps contribute 0 and not ±1.</param>
/// <param name="Standardised">The filters are standardised (<see cref="WeightStandardisation"/>), then multiplied by a gain.</param>
/// <param name="BinaryWeight">The filters are binarised (<see cref="Layers.BinaryWeight"/>), after standardisation and before the gain.</param>
/// <param name="Factor">Constant factor of the filters.</param>
public readonly record struct ConvolutionOptions(
    int Stride, int Padding, bool Standardised = false, bool BinaryWeight = false, double Factor = 1);
