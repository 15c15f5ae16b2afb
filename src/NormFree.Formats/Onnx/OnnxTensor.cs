using NormFree.Formats.Safetensors;

namespace NormFree.Formats.Onnx;

/// <summary>A constant of a graph, for example a convolution's weight.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">The size along each axis; empty for a scalar.</param>
/// <param name="Bytes">Its elements, row-major and little-endian.</param>
public sealed record OnnxTensor(string Name, DType DType, IReadOnlyList<long> Shape, ReadOnlyMemory<byte> Bytes);
