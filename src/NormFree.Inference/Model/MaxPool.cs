namespace NormFree.Inference.Model;

/// <summary>The largest value of a square of pixels, channel by channel; pixels outside the map do not count.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="Kernel">Side of the square.</param>
/// <param name="Stride">Step from one square to the next.</param>
/// <param name="Padding">Rows and columns by which squares reach over the map.</param>
public sealed record MaxPool(string Key, int Kernel, int Stride, int Padding) : PackedLayer(Key);
