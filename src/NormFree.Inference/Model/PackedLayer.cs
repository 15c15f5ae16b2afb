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
/// <param name="Weights">Out × In/Groups × Kernel × Kernel.</param>
/// <param name="Bias">One per filter.</param>
/// <param name="Groups">
/// Divides In and Out into groups of consecutive channels and filters; a filter reads the channels of its group. In for a depthwise convolution.
/// </param>
public sealed record PackedConvolution(
    string Key, int In, int Out, int Kernel, int Stride, int Padding, float[] Weights, float[] Bias, int Groups = 1) : PackedLayer(Key);

/// <summary>An activation or a folded norm: a = scale·x + bias; b = a where a &gt; 0, else slope·a; y = b clamped to [Low, High].</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="Channels">Channels of the map.</param>
/// <param name="Scale">One per channel.</param>
/// <param name="Bias">One per channel.</param>
/// <param name="Slope">One per channel: 1 for none, 0 for ReLU.</param>
/// <param name="Low">The smallest result; −∞ for no bound.</param>
/// <param name="High">The largest result; +∞ for no bound.</param>
public sealed record PackedAffine(string Key, int Channels, float[] Scale, float[] Bias, float[] Slope, float Low, float High) : PackedLayer(Key);

/// <summary>Max-pooling per channel. Pixels outside the map are ignored.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="Kernel">Side of the square window.</param>
/// <param name="Stride">Stride in pixels.</param>
/// <param name="Padding">Padding on each side, in pixels.</param>
public sealed record PackedMaxPool(string Key, int Kernel, int Stride, int Padding) : PackedLayer(Key);

/// <summary>Average pooling per channel: the mean over Kernel × Kernel pixels, with stride Kernel.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="Kernel">Side of the square window and stride; incomplete windows at the right and bottom edge are dropped.</param>
public sealed record PackedAveragePool(string Key, int Kernel) : PackedLayer(Key);

/// <summary>Turns an H×W×C map into one pixel of H·W·C channels, in the order H, W, C. No value moves.</summary>
/// <param name="Key"><inheritdoc/></param>
public sealed record PackedFlatten(string Key) : PackedLayer(Key);

/// <summary>A residual connection over several layers: y = x + shortcut, where the shortcut is the input of an earlier layer.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="From">The key of the earlier layer.</param>
/// <param name="Pooled">
/// How that input is pooled and projected; the projection has as many filters as x has channels. Null if the input is added as it is; if x has more
/// channels, its channels are repeated.
/// </param>
public sealed record PackedAdd(string Key, string From, AveragePoolShortcut? Pooled) : PackedLayer(Key);

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
    float[] Threshold, ulong[] Signs, float[] Scale, float[] Bias, float[] Slope, float[] Shift, PackedShortcut Shortcut) : PackedLayer(Key)
{
    /// <summary>Channels of the output: the filters, and for a <see cref="ConcatenatedShortcut"/> also the input's channels.</summary>
    public int OutputChannels => Shortcut is ConcatenatedShortcut ? In + Out : Out;
}

/// <summary>Global average pooling and a linear layer: logits = weights · mean + bias. The mean over one pixel is the pixel.</summary>
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

/// <summary>None: nothing is added to the convolution.</summary>
public sealed record NoShortcut : PackedShortcut;

/// <summary>Concatenation (BinaryDenseNet): the output is the layer's input, then its filters. Nothing is added. The map keeps its size.</summary>
public sealed record ConcatenatedShortcut : PackedShortcut;

/// <summary>Average pooling, optionally followed by a 1×1 convolution.</summary>
/// <param name="Kernel">Side of the square window and stride; incomplete windows at the right and bottom edge are dropped.</param>
/// <param name="Factor">β/Kernel²: the factor of a window's sum.</param>
/// <param name="Projection">The 1×1 convolution; null if there is none.</param>
public sealed record AveragePoolShortcut(int Kernel, float Factor, PackedProjection? Projection) : PackedShortcut;

/// <summary>A 1×1 convolution of real values. Its bias is part of the layer's.</summary>
public abstract record PackedProjection;

/// <summary>A 1×1 convolution with binary weights: scale·(signs · x), or scale·(signs · (x − mean of x over the channels)).</summary>
/// <param name="Signs">Out × ⌈In/64⌉ words; 1 is +, unused bits are 0.</param>
/// <param name="Scale">One per filter.</param>
/// <param name="Centered">Whether the mean is subtracted. Every filter then sums to zero: signs · (x − mean of x) = (signs − mean of signs) · x.</param>
public sealed record BinaryProjection(ulong[] Signs, float[] Scale, bool Centered = false) : PackedProjection;

/// <summary>A 1×1 convolution with real weights: weights · x.</summary>
/// <param name="Weights">Out × In.</param>
public sealed record RealProjection(float[] Weights) : PackedProjection;
