namespace NormFree.Formats.Safetensors;

/// <summary>Where a tensor lies in a file and what it is.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">The size along each axis; empty for a scalar.</param>
/// <param name="Begin">Its first byte, counted from the end of the header.</param>
/// <param name="End">The byte after its last one.</param>
public sealed record TensorEntry(string Name, DType DType, IReadOnlyList<long> Shape, long Begin, long End)
{
    /// <summary>How many elements it has.</summary>
    public long Elements => Bytes / DType.Bytes();

    /// <summary>How many bytes it has.</summary>
    public long Bytes => End - Begin;

    /// <summary>The number of bytes that a shape takes; null where a size is negative or the product passes 64 bits.</summary>
    internal static long? BytesOf(DType type, IReadOnlyList<long> shape)
    {
        long bytes = type.Bytes();
        foreach (long size in shape)
        {
            if (size < 0 || Math.BigMul(bytes, size, out long product) != 0 || product < 0)
                return null;
            bytes = product;
        }
        return bytes;
    }
}
