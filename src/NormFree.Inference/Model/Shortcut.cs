namespace NormFree.Inference.Model;

/// <summary>What a binary layer adds to its convolution.</summary>
public abstract record Shortcut;

/// <summary>The layer's input, repeated over the channels as often as its output has more: once is the identity.</summary>
public sealed record RepeatedInput : Shortcut;

/// <summary>factor·(sum over squares of the layer's input), and possibly a 1×1 convolution of it.</summary>
/// <param name="Kernel">Side of a square, and step from one to the next; rows and columns behind the last whole square are left out.</param>
/// <param name="Factor">β/Kernel²: what makes a mean of the sum.</param>
/// <param name="Projection">The convolution; null for none.</param>
public sealed record PooledInput(int Kernel, float Factor, Projection? Projection) : Shortcut;

/// <summary>A 1×1 convolution of real values. Its bias is part of the layer's.</summary>
public abstract record Projection;

/// <summary>A 1×1 convolution with binary filters: scale·(signs · x), or scale·(signs · (x − mean of x over the channels)).</summary>
/// <param name="Signs">Out × ⌈In/64⌉ words; 1 is +, bits behind the last channel are 0.</param>
/// <param name="Scale">One a filter.</param>
/// <param name="Centered">Whether the mean is subtracted. The filters then sum to zero: signs · (x − mean of x) = (signs − mean of signs) · x.</param>
public sealed record BinaryProjection(ulong[] Signs, float[] Scale, bool Centered = false) : Projection;

/// <summary>A 1×1 convolution with real filters: weights · x.</summary>
/// <param name="Weights">Out × In.</param>
public sealed record RealProjection(float[] Weights) : Projection;
