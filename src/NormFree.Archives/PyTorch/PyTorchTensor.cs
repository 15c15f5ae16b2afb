using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>A tensor of a PyTorch file. Several may be views of the same bytes.</summary>
public sealed class PyTorchTensor
{
    private readonly StridedView view;

    internal PyTorchTensor(string name, StridedView view)
    {
        Name = name;
        this.view = view;
    }

    /// <summary>Its key in the state dictionary, as the file has it.</summary>
    public string Name { get; }

    /// <summary>Its element type.</summary>
    public DType DType => view.Type;

    /// <summary>The size along each axis; empty for a scalar.</summary>
    public IReadOnlyList<long> Shape => view.Shape;

    /// <summary>How many bytes <see cref="ToBytes"/> gives.</summary>
    public long Bytes => view.Bytes;

    /// <summary>A copy of its elements, row-major and little-endian, whatever its strides in the file.</summary>
    public byte[] ToBytes() => view.ToBytes();
}
