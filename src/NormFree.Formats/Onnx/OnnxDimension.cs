namespace NormFree.Formats.Onnx;

/// <summary>The size of a value along an axis.</summary>
/// <param name="Size">The size; null where it is left open.</param>
/// <param name="Symbol">The name of a size that is left open.</param>
public sealed record OnnxDimension(long? Size, string? Symbol)
{
    /// <summary>A size that is known.</summary>
    public static OnnxDimension Of(long size) => new(size, null);

    /// <summary>A size that the caller chooses.</summary>
    public static OnnxDimension Open(string symbol) => new(null, symbol);
}
