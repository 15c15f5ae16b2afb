namespace NormFree.Inference.Model;

/// <summary>
/// A whole binary layer: s = +1 where x ≥ threshold, else −1; z = scale·(signs ∗ s) + bias + shortcut(x); y = z + shift where z &gt; 0, else slope·z + shift.
/// </summary>
/// <remarks>The convolution's zeros are padded after the sign: taps outside the map contribute nothing. Taps are counted row by row.</remarks>
/// <param name="Key"><inheritdoc/></param>
/// <param name="In">Channels of its input.</param>
/// <param name="Out">Filters.</param>
/// <param name="Kernel">Side of the square kernel.</param>
/// <param name="Stride">Step from one output pixel to the next, in input pixels.</param>
/// <param name="Padding">Rows and columns of zeros added on each side.</param>
/// <param name="Threshold">One an input channel; +∞ and −∞ where the sign is always the same.</param>
/// <param name="Signs">Out × Kernel² × ⌈In/64⌉ words: bit c mod 64 of word c/64 is set where the weight is +; bits behind the last channel are 0.</param>
/// <param name="Scale">One a filter.</param>
/// <param name="Bias">One a filter; RPReLU's first shift is in it.</param>
/// <param name="Slope">One a filter.</param>
/// <param name="Shift">One a filter.</param>
/// <param name="Shortcut">What is added.</param>
public sealed record BinaryLayer(
    string Key, int In, int Out, int Kernel, int Stride, int Padding,
    float[] Threshold, ulong[] Signs, float[] Scale, float[] Bias, float[] Slope, float[] Shift, Shortcut Shortcut) : PackedLayer(Key);
