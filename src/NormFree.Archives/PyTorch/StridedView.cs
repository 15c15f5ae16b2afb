using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>A tensor as PyTorch stores it: a shape and strides over a storage. <see cref="Create"/> validates it, so reading needs no checks.</summary>
internal sealed class StridedView
{
    private const int MaxAxes = 64;
    private readonly Storage storage;
    private readonly long offset;
    private readonly long[] strides;

    private StridedView(Storage storage, DType type, long offset, long[] shape, long[] strides, long bytes)
    {
        this.storage = storage;
        this.offset = offset;
        this.strides = strides;
        Type = type;
        Shape = shape;
        Bytes = bytes;
    }

    /// <summary>The type of the elements.</summary>
    public DType Type { get; }

    /// <summary>The size of each axis.</summary>
    public long[] Shape { get; }

    /// <summary>The size of a row-major copy in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Creates a view, or describes what is wrong with it.</summary>
    /// <param name="storage">The storage.</param>
    /// <param name="type">The type of the elements.</param>
    /// <param name="geometry">Offset, shape and strides, all in elements.</param>
    /// <param name="maxBytes">The limit for <see cref="Bytes"/>: with a stride of 0 a small storage could fill a huge tensor.</param>
    public static (StridedView? View, string? Problem) Create(
        Storage storage, DType type, (long Offset, long[] Shape, long[] Strides) geometry, long maxBytes)
    {
        var (offset, shape, strides) = geometry;
        if (shape.Length != strides.Length || shape.Length > MaxAxes)
            return (null, $"it has {shape.Length} sizes and {strides.Length} strides");
        if (offset < 0 || Array.Exists(shape, size => size < 0) || Array.Exists(strides, stride => stride < 0))
            return (null, $"an offset, size or stride is negative: {offset}, [{string.Join(", ", shape)}], [{string.Join(", ", strides)}]");
        if (TensorEntry.BytesOf(type, shape) is not { } bytes || bytes > maxBytes)
            return (null, $"the shape [{string.Join(", ", shape)}] of {type.Name()} needs more than {maxBytes} bytes, the limit for the file's size");
        long elements = storage.Bytes.Length / type.Bytes();
        if (bytes > 0 && (Last(offset, shape, strides) is not { } last || last >= elements))
            return (null, $"its last element is outside its storage of {elements} elements");
        return (new StridedView(storage, type, offset, shape, strides, bytes), null);
    }

    /// <summary>Copies the elements, row-major and little-endian.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Bytes];
        if (bytes.Length > 0)
            Copy(axis: 0, offset, bytes);
        if (storage.BigEndian)
            for (int at = 0, size = Type.Bytes(); at < bytes.Length; at += size)
                bytes.AsSpan(at, size).Reverse();
        return bytes;
    }

    /// <summary>The index of the last element; null if it exceeds 63 bits.</summary>
    private static long? Last(long offset, long[] shape, long[] strides)
    {
        long last = offset;
        for (int axis = 0; axis < shape.Length; axis++)
        {
            if (Math.BigMul(shape[axis] - 1, strides[axis], out long step) != 0 || step < 0 || step > long.MaxValue - last)
                return null;
            last += step;
        }
        return last;
    }

    /// <summary>Copies the axes from the given one: in one step if they are contiguous, else index by index.</summary>
    private void Copy(int axis, long from, Span<byte> into)
    {
        int size = Type.Bytes();
        if (Contiguous(axis))
        {
            storage.Bytes.Span.Slice((int)from * size, into.Length).CopyTo(into);
            return;
        }
        int part = into.Length / (int)Shape[axis];
        for (int i = 0; i < Shape[axis]; i++)
            Copy(axis + 1, from + (i * strides[axis]), into.Slice(i * part, part));
    }

    private bool Contiguous(int axis)
    {
        long expected = 1;
        for (int i = Shape.Length - 1; i >= axis; i--)
        {
            if (Shape[i] != 1 && strides[i] != expected)
                return false;
            expected *= Shape[i];
        }
        return true;
    }
}
