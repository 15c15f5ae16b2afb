using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>The bytes that tensors are views of: a part of the file as it was read.</summary>
/// <param name="Type">The type of its elements.</param>
/// <param name="Bytes">Its bytes.</param>
/// <param name="BigEndian">Whether its elements have their highest byte first.</param>
internal sealed record Storage(DType Type, ReadOnlyMemory<byte> Bytes, bool BigEndian)
{
    /// <summary>How many elements it has.</summary>
    public long Elements => Bytes.Length / Type.Bytes();
}
