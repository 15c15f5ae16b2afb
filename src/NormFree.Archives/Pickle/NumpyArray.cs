using System.Runtime.InteropServices;

namespace NormFree.Archives.Pickle;

/// <summary>An array of numbers as NumPy pickled it: a shape, an element type and the bytes in row-major order.</summary>
public sealed class NumpyArray
{
    private NumpyArray(long[] shape, string elementType, ReadOnlyMemory<byte> bytes)
    {
        Shape = shape;
        ElementType = elementType;
        Bytes = bytes;
    }

    /// <summary>The size along each axis.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>NumPy's code for the element type: a letter (<c>b</c> bool, <c>i</c>, <c>u</c>, <c>f</c>) and its bytes, for example <c>u1</c>.</summary>
    public string ElementType { get; }

    /// <summary>The elements, row-major and little-endian.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Reads an array out of a pickle that was read with <see cref="PickleGlobals.Numpy"/>.</summary>
    /// <param name="value">The value, or null where <see cref="PickleValue.Find"/> found none: that is an error, too.</param>
    /// <param name="file">The name that errors give to the file.</param>
    /// <param name="where">The name that errors give to the place, for example the array's key.</param>
    /// <exception cref="InvalidFileException">It is no array of numbers, or its bytes do not fill its shape.</exception>
    public static NumpyArray From(PickleValue? value, string file, string where)
    {
        var parts = NumpyParts.Of(value)
            ?? throw Bad(file, where, $"expected an array of NumPy and found {value?.ToString() ?? "nothing"}");
        if (parts.ElementType is not { } type)
            throw Bad(file, where, "the array's elements are not plain little-endian numbers");
        int width = type[1] - '0';
        long elements = 1;
        foreach (long size in parts.Shape)
        {
            if (size < 0 || size > int.MaxValue || (elements *= size) > int.MaxValue)
                throw Bad(file, where, $"the shape [{string.Join(", ", parts.Shape)}] is no shape");
        }
        if (elements * width != parts.Bytes.Length)
            throw Bad(file, where, $"{parts.Bytes.Length} bytes for shape [{string.Join(", ", parts.Shape)}], which needs {elements * width}");
        var bytes = parts.ColumnMajor ? RowMajor(parts.Bytes.Span, parts.Shape, width) : parts.Bytes;
        return new NumpyArray(parts.Shape, type, bytes);
    }

    /// <summary>Reads whole numbers: a list of them or a one-dimensional array of an integer type.</summary>
    /// <param name="value">The value, or null where <see cref="PickleValue.Find"/> found none: that is an error, too.</param>
    /// <param name="file">The name that errors give to the file.</param>
    /// <param name="where">The name that errors give to the place.</param>
    /// <exception cref="InvalidFileException">It is neither.</exception>
    public static long[] Integers(PickleValue? value, string file, string where)
    {
        if (value is PickleList or PickleTuple)
        {
            var items = value.AsItems()!;
            long[] numbers = new long[items.Count];
            for (int i = 0; i < numbers.Length; i++)
                numbers[i] = items[i].AsInt64()
                    ?? throw Bad(file, $"{where}[{i}]", $"expected a whole number of 64 bits and found {items[i]}");
            return numbers;
        }

        var array = From(value, file, where);
        var bytes = array.Bytes.Span;
        return array.ElementType switch
        {
            _ when array.Shape.Count != 1 => throw Bad(file, where, $"expected one dimension and found {array.Shape.Count}"),
            "u1" => Widen<byte>(bytes, b => b),
            "i1" => Widen<sbyte>(bytes, b => b),
            "u2" => Widen<ushort>(bytes, b => b),
            "i2" => Widen<short>(bytes, b => b),
            "u4" => Widen<uint>(bytes, b => b),
            "i4" => Widen<int>(bytes, b => b),
            "i8" => MemoryMarshal.Cast<byte, long>(bytes).ToArray(),
            var other => throw Bad(file, where, $"expected whole numbers and found elements of type {other}"),
        };
    }

    private static long[] Widen<T>(ReadOnlySpan<byte> bytes, Func<T, long> widen) where T : unmanaged
    {
        var source = MemoryMarshal.Cast<byte, T>(bytes);
        long[] numbers = new long[source.Length];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = widen(source[i]);
        return numbers;
    }

    /// <summary>Row-major from column-major: walks the target in order and carries the source's offset along.</summary>
    private static byte[] RowMajor(ReadOnlySpan<byte> source, long[] shape, int width)
    {
        byte[] target = new byte[source.Length];
        if (target.Length == 0)
            return target;
        int[] stride = new int[shape.Length];
        int[] index = new int[shape.Length];
        int step = width;
        for (int axis = 0; axis < shape.Length; axis++)
        {
            stride[axis] = step;
            step *= (int)shape[axis];
        }
        int from = 0;
        for (int to = 0; to < target.Length; to += width)
        {
            source.Slice(from, width).CopyTo(target.AsSpan(to));
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                from += stride[axis];
                if (++index[axis] < shape[axis])
                    break;
                from -= stride[axis] * (int)shape[axis];
                index[axis] = 0;
            }
        }
        return target;
    }

    private static InvalidFileException Bad(string file, string where, string what) => new(file, where, what, WayOut.FetchAgain);
}
