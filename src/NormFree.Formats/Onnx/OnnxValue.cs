using NormFree.Formats.Safetensors;

namespace NormFree.Formats.Onnx;

/// <summary>An input or output of a graph.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Dimensions">Its size along each axis.</param>
public sealed record OnnxValue(string Name, DType DType, IReadOnlyList<OnnxDimension> Dimensions);
