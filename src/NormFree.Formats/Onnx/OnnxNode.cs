namespace NormFree.Formats.Onnx;

/// <summary>One operation: named values in, named values out.</summary>
/// <param name="Operator">Which one, for example <c>Conv</c>.</param>
/// <param name="Name">Its own name.</param>
/// <param name="Inputs">The names of what it takes.</param>
/// <param name="Outputs">The names of what it gives.</param>
/// <param name="Attributes">Its settings.</param>
public sealed record OnnxNode(
    string Operator, string Name, IReadOnlyList<string> Inputs, IReadOnlyList<string> Outputs, IReadOnlyList<OnnxAttribute> Attributes)
{
    /// <summary>The setting of a name; null where there is none.</summary>
    public OnnxAttribute? Find(string attribute)
    {
        foreach (var candidate in Attributes)
            if (candidate.Name == attribute)
                return candidate;
        return null;
    }
}
