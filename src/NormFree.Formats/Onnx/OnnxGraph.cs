namespace NormFree.Formats.Onnx;

/// <summary>A network: operations in the order in which they run.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Nodes">Its operations.</param>
/// <param name="Constants">Its constants (ONNX calls them initializers).</param>
/// <param name="Inputs">What it takes.</param>
/// <param name="Outputs">What it gives.</param>
public sealed record OnnxGraph(
    string Name, IReadOnlyList<OnnxNode> Nodes, IReadOnlyList<OnnxTensor> Constants, IReadOnlyList<OnnxValue> Inputs, IReadOnlyList<OnnxValue> Outputs);
