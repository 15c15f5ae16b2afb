namespace NormFree.Inference.Model;

/// <summary>One layer of a packed network: maps an H×W×C feature map to another.</summary>
/// <param name="Key">The layer's name, unique in the network; the names of its tensors start with it.</param>
public abstract record PackedLayer(string Key);

/// <summary>A real-valued convolution with zero padding: y = w ∗ x + bias.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="In">Input channels.</param>
/// <param name="Out">Filters.</param>
/// <param name="Kernel">Side of the square kernel.</param>
/// <param name="Stride">Stride in pixels.</param>
/// <param name="Padding">Zero padding on each side, in pixels.</param>
/// <param name="Weights">Out × In × Kernel × Kernel.</param>
/// <param name="Bias">One per filter.</param>
public sealed record PackedConvolution(
    string Key, int In, int Out, int Kernel, int Stride, int Padding, float[] Weights, float[] Bias) : PackedLayer(Key);

/// <summary>Max-pooling per channel. Pixels outside the map are ignored.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="Kernel">Side of the square window.</param>
/// <param name="Stride">Stride in pixels.</param>
/// <param name="Padding">Padding on each side, in pixels.</param>
public sealed record PackedMaxPool(string Key, int Kernel, int Stride, int Padding) : PackedLayer(Key);

/// <summary>
/// A complete binary layer: s = +1 where x ≥ threshold, else −1; z = scale·(signs ∗ s) + bias + shortcut(x);
/// y = z + shift where z &gt; 0, else slope·z + shift (RPReLU).
/// </summary>
/// <remarks>The padding is applied after the sign: taps outside the map contribute 0. Taps are in row-major order.</remarks>
/// <param name="Key"><inheritdoc/></param>
/// <param name="In">Input channels.</param>
/// <param name="Out">Filters.</param>
/// <param name="Kernel">Side of the square kernel.</param>
/// <param name="Stride">Stride in pixels.</param>
/// <param name="Padding">Zero padding on each side, in pixels.</param>
/// <param name="Threshold">One per input channel; ±∞ where the sign is constant.</param>
/// <param name="Signs">Out × Kernel² × ⌈In/64⌉ words. Bit c mod 64 of word c/64 is 1 where the weight is +; unused bits are 0.</param>
/// <param name="Scale">One per filter.</param>
/// <param name="Bias">One per filter; includes RPReLU's first shift.</param>
/// <param name="Slope">One per filter.</param>
/// <param name="Shift">One per filter.</param>
/// <param name="Shortcut">The shortcut branch.</param>
public sealed record PackedBinaryLayer(
    string Key, int In, int Out, int Kernel, int Stride, int Padding,
    float[] Threshold, ulong[] Signs, float[] Scale, float[] Bias, float[] Slope, float[] Shift, PackedShortcut Shortcut) : PackedLayer(Key);

/// <summary>Global average pooling and a linear layer: logits = weights · mean + bias.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="In">Input channels.</param>
/// <param name="Classes">Logits.</param>
/// <param name="Weights">Classes × In.</param>
/// <param name="Bias">One per class.</param>
public sealed record PackedClassifier(string Key, int In, int Classes, float[] Weights, float[] Bias) : PackedLayer(Key);

/// <summary>The shortcut branch of a binary layer.</summary>
public abstract record PackedShortcut;

/// <summary>The layer's input. If the layer has more outputs than inputs, the input channels are repeated.</summary>
public sealed record IdentityShortcut : PackedShortcut;

/// <summary>Average pooling, optionally followed by a 1×1 convolution with binary weights.</summary>
/// <param name="Kernel">Side of the square window and stride; incomplete windows at the right and bottom edge are dropped.</param>
/// <param name="Factor">β/Kernel²: the factor of a window's sum.</param>
/// <param name="Projection">The 1×1 convolution; null if there is none.</param>
public sealed record AveragePoolShortcut(int Kernel, float Factor, BinaryProjection? Projection) : PackedShortcut;

/// <summary>A 1×1 convolution of real values with binary weights: scale·(signs · x). Its bias is part of the layer's.</summary>
/// <param name="Signs">Out × ⌈In/64⌉ words; 1 is +, unused bits are 0.</param>
/// <param name="Scale">One per filter.</param>
public sealed record BinaryProjection(ulong[] Signs, float[] Scale);
