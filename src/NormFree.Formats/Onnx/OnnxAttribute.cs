namespace NormFree.Formats.Onnx;

/// <summary>A setting of a node: a real number, a whole one, or several. Attributes of other kinds have none of the three.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Real">Its value, if it is a real number.</param>
/// <param name="Integer">Its value, if it is a whole number.</param>
/// <param name="Integers">Its value, if it is a list of whole numbers.</param>
public sealed record OnnxAttribute(string Name, float? Real, long? Integer, IReadOnlyList<long>? Integers)
{
    /// <summary>A real number.</summary>
    public static OnnxAttribute Of(string name, float value) => new(name, value, null, null);

    /// <summary>A whole number.</summary>
    public static OnnxAttribute Of(string name, long value) => new(name, null, value, null);

    /// <summary>A list of whole numbers.</summary>
    public static OnnxAttribute Of(string name, IReadOnlyList<long> values) => new(name, null, null, values);
}
