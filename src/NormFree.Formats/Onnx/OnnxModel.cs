using NormFree.Formats.Safetensors;

namespace NormFree.Formats.Onnx;

/// <summary>An ONNX model to be written.</summary>
/// <remarks>Covers the part of onnx.proto that convolutional networks need. Use ONNX Runtime to read and run the files.</remarks>
/// <param name="Opset">The version of the operators.</param>
/// <param name="Producer">The program that writes the model.</param>
/// <param name="Graph">The network.</param>
/// <param name="Metadata">Strings of the writer.</param>
public sealed record OnnxModel(long Opset, string Producer, OnnxGraph Graph, IReadOnlyDictionary<string, string> Metadata)
{
    /// <summary>Writes the file completely or not at all; see <see cref="AtomicFile"/>.</summary>
    /// <param name="path">The target.</param>
    /// <exception cref="IOException">It cannot be written. The old file is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable. The old file is intact.</exception>
    /// <exception cref="InvalidOperationException">The model exceeds protobuf's limit of 2 GiB.</exception>
    public void Save(string path) => AtomicFile.Write(path, Write);

    /// <summary>Writes the model to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <exception cref="InvalidOperationException">The model exceeds protobuf's limit of 2 GiB.</exception>
    public void Write(Stream stream) => OnnxWriter.Write(this, stream);
}

/// <summary>A network: nodes in the order of execution.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Nodes">Its operations.</param>
/// <param name="Constants">Its constants; ONNX calls them initializers.</param>
/// <param name="Inputs">Its inputs.</param>
/// <param name="Outputs">Its outputs.</param>
public sealed record OnnxGraph(
    string Name, IReadOnlyList<OnnxNode> Nodes, IReadOnlyList<OnnxTensor> Constants, IReadOnlyList<OnnxValue> Inputs, IReadOnlyList<OnnxValue> Outputs);

/// <summary>An operation on named values.</summary>
/// <param name="Operator">The operator, for example <c>Conv</c>.</param>
/// <param name="Name">The name of the node.</param>
/// <param name="Inputs">The names of its inputs.</param>
/// <param name="Outputs">The names of its outputs.</param>
/// <param name="Attributes">Its attributes.</param>
public sealed record OnnxNode(
    string Operator, string Name, IReadOnlyList<string> Inputs, IReadOnlyList<string> Outputs, IReadOnlyList<OnnxAttribute> Attributes);

/// <summary>An attribute of a node. Exactly one of the values is set.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Real">Its value as a float.</param>
/// <param name="Integer">Its value as an integer.</param>
/// <param name="Integers">Its value as a list of integers.</param>
public sealed record OnnxAttribute(string Name, float? Real, long? Integer, IReadOnlyList<long>? Integers)
{
    /// <summary>A float attribute.</summary>
    public static OnnxAttribute Of(string name, float value) => new(name, value, null, null);

    /// <summary>An integer attribute.</summary>
    public static OnnxAttribute Of(string name, long value) => new(name, null, value, null);

    /// <summary>An attribute that is a list of integers.</summary>
    public static OnnxAttribute Of(string name, IReadOnlyList<long> values) => new(name, null, null, values);
}

/// <summary>A constant of a graph, for example the weight of a convolution.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">The size of each axis; empty for a scalar.</param>
/// <param name="Bytes">Its elements, row-major and little-endian.</param>
public sealed record OnnxTensor(string Name, DType DType, IReadOnlyList<long> Shape, ReadOnlyMemory<byte> Bytes);

/// <summary>An input or output of a graph.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Dimensions">The size of each axis.</param>
public sealed record OnnxValue(string Name, DType DType, IReadOnlyList<OnnxDimension> Dimensions);

/// <summary>The size of an axis: a number or a symbol.</summary>
/// <param name="Size">The size; null if the caller chooses it.</param>
/// <param name="Symbol">The name of a size that the caller chooses.</param>
public sealed record OnnxDimension(long? Size, string? Symbol)
{
    /// <summary>A fixed size.</summary>
    public static OnnxDimension Of(long size) => new(size, null);

    /// <summary>A size that the caller chooses.</summary>
    public static OnnxDimension Open(string symbol) => new(null, symbol);
}
