using System.Runtime.InteropServices;
using System.Text;

namespace NormFree.Archives.Pickle;

/// <summary>An array of numbers pickled by NumPy.</summary>
public sealed class NumpyArray
{
    /// <summary>NumPy's own limit for the number of axes.</summary>
    private const int MaxAxes = 64;

    private NumpyArray(long[] shape, string elementType, ReadOnlyMemory<byte> bytes)
    {
        Shape = shape;
        ElementType = elementType;
        Bytes = bytes;
    }

    /// <summary>The size of each axis.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>NumPy's code of the element type: a letter (<c>b</c> bool, <c>i</c>, <c>u</c>, <c>f</c>) and the size in bytes, for example <c>u1</c>.</summary>
    public string ElementType { get; }

    /// <summary>The elements, row-major and little-endian.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Converts a value that was read with <see cref="PickleGlobals.Numpy"/>.</summary>
    /// <param name="value">The value; null, as from <see cref="PickleValue.Find"/>, is an error.</param>
    /// <param name="file">The name of the file in errors.</param>
    /// <param name="where">The place in errors, for example the key of the array.</param>
    /// <exception cref="InvalidFileException">It is not an array of numbers, or its bytes do not fit its shape.</exception>
    public static NumpyArray From(PickleValue? value, string file, string where)
    {
        var parts = NumpyParts.Of(value)
            ?? throw Bad(file, where, $"expected a NumPy array and found {value?.ToString() ?? "nothing"}");
        if (parts.ElementType is not { } type)
            throw Bad(file, where, "the elements of the array are not little-endian numbers");
        if (parts.Shape.Length > MaxAxes)
            throw Bad(file, where, $"the array has {parts.Shape.Length} axes; NumPy allows {MaxAxes}");
        int width = type[1] - '0';
        long elements = 1;
        foreach (long size in parts.Shape)
        {
            if (size < 0 || size > int.MaxValue || (elements *= size) > int.MaxValue)
                throw Bad(file, where, $"the shape [{string.Join(", ", parts.Shape)}] is not valid");
        }
        if (elements * width != parts.Bytes.Length)
            throw Bad(file, where, $"the shape [{string.Join(", ", parts.Shape)}] needs {elements * width} bytes, but the array has {parts.Bytes.Length}");
        var bytes = parts.ColumnMajor ? RowMajor(parts.Bytes.Span, parts.Shape, width) : parts.Bytes;
        return new NumpyArray(parts.Shape, type, bytes);
    }

    /// <summary>Converts a list of integers, which may be NumPy's scalars, or a one-dimensional array of an integer type.</summary>
    /// <param name="value">The value; null, as from <see cref="PickleValue.Find"/>, is an error.</param>
    /// <param name="file">The name of the file in errors.</param>
    /// <param name="where">The place in errors.</param>
    /// <exception cref="InvalidFileException">It is neither.</exception>
    public static long[] Integers(PickleValue? value, string file, string where)
    {
        if (value is PickleList or PickleTuple)
        {
            var items = value.AsItems()!;
            long[] numbers = new long[items.Count];
            for (int i = 0; i < numbers.Length; i++)
                numbers[i] = items[i].AsInt64() ?? Scalar(items[i])
                    ?? throw Bad(file, $"{where}[{i}]", $"expected a 64-bit integer and found {items[i]}");
            return numbers;
        }

        var array = From(value, file, where);
        if (array.Shape.Count != 1)
            throw Bad(file, where, $"expected one axis and found {array.Shape.Count}");
        return Widened(array.ElementType, array.Bytes.Span)
            ?? throw Bad(file, where, $"expected integers and found elements of type {array.ElementType}");
    }

    /// <summary>The value of a pickled integer of NumPy; null if it is none, or above the range of long.</summary>
    private static long? Scalar(PickleValue value) =>
        NumpyParts.OfScalar(value) is { ElementType: { } type } parts && parts.Bytes.Length == type[1] - '0'
            ? Widened(type, parts.Bytes.Span)?[0]
            : null;

    /// <summary>Integers of any type as long; null if they are no integers, or one of them is above the range of long.</summary>
    private static long[]? Widened(string type, ReadOnlySpan<byte> bytes) => type switch
    {
        "u1" => Widen<byte>(bytes, b => b),
        "i1" => Widen<sbyte>(bytes, b => b),
        "u2" => Widen<ushort>(bytes, b => b),
        "i2" => Widen<short>(bytes, b => b),
        "u4" => Widen<uint>(bytes, b => b),
        "i4" => Widen<int>(bytes, b => b),
        "i8" => MemoryMarshal.Cast<byte, long>(bytes).ToArray(),
        "u8" when !MemoryMarshal.Cast<byte, ulong>(bytes).ContainsAnyExceptInRange(0UL, (ulong)long.MaxValue) =>
            MemoryMarshal.Cast<byte, long>(bytes).ToArray(),
        _ => null,
    };

    private static long[] Widen<T>(ReadOnlySpan<byte> bytes, Func<T, long> widen) where T : unmanaged
    {
        var source = MemoryMarshal.Cast<byte, T>(bytes);
        long[] numbers = new long[source.Length];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = widen(source[i]);
        return numbers;
    }

    /// <summary>Converts column-major to row-major: visits the target in order and updates the source offset incrementally.</summary>
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

    private static InvalidFileException Bad(string file, string where, string what) => new(file, where, what, Remedy.DownloadAgain);
}

/// <summary>The parts of a pickled array in either of NumPy's two forms; not validated yet.</summary>
/// <param name="Shape">The sizes in the pickle.</param>
/// <param name="ElementType">The code of the element type; null if it is not a little-endian number.</param>
/// <param name="ColumnMajor">Whether the first axis varies fastest.</param>
/// <param name="Bytes">The elements.</param>
internal sealed record NumpyParts(long[] Shape, string? ElementType, bool ColumnMajor, ReadOnlyMemory<byte> Bytes)
{
    /// <summary>The parts of an array; null if the value is not an array.</summary>
    public static NumpyParts? Of(PickleValue? value) => value switch
    {
        // _reconstruct(ndarray, (0,), b'b') with the state (version, shape, dtype, is_fortran, bytes)
        PickleReduced { Callable.Name: "_reconstruct", State: PickleTuple { Items: [_, var shape, var type, var fortran, var data] } } =>
            Of(shape, type, fortran.AsInt64() == 1, data),
        // protocol 5: _frombuffer(bytes, dtype, shape, order)
        PickleReduced { Callable.Name: "_frombuffer", Arguments.Items: [var data, var type, var shape, var order] } =>
            Of(shape, type, order.AsText() == "F", data),
        _ => null,
    };

    /// <summary>The parts of a scalar, <c>scalar(dtype, bytes)</c>, as an array without axes; null if the value is not a scalar.</summary>
    public static NumpyParts? OfScalar(PickleValue value) =>
        value is PickleReduced { Callable.Name: "scalar", Arguments.Items: [var type, var data] } && BytesOf(data) is { } bytes
            ? new NumpyParts([], ElementTypeOf(type), ColumnMajor: false, bytes)
            : null;

    private static NumpyParts? Of(PickleValue shape, PickleValue type, bool columnMajor, PickleValue data)
    {
        if (shape is not PickleTuple { Items: var axes } || BytesOf(data) is not { } bytes)
            return null;
        long[] sizes = new long[axes.Count];
        for (int i = 0; i < sizes.Length; i++)
        {
            if (axes[i].AsInt64() is not { } size)
                return null;
            sizes[i] = size;
        }
        return new NumpyParts(sizes, ElementTypeOf(type), columnMajor, bytes);
    }

    /// <summary>Reads dtype(code, align, copy) with the state (version, byte order, …).</summary>
    private static string? ElementTypeOf(PickleValue type)
    {
        if (type is not PickleReduced { Callable.Name: "dtype", Arguments.Items: [var code, ..], State: PickleTuple { Items: [_, var order, ..] } })
            return null;
        return code.AsText() is "b1" or "i1" or "u1" or "i2" or "u2" or "i4" or "u4" or "i8" or "u8" or "f2" or "f4" or "f8"
            && order.AsText() is "|" or "<"
            ? code.AsText()
            : null;
    }

    /// <summary>Reads bytes, or the calls that replace them in protocols without bytes: <c>encode('…', 'latin1')</c>, <c>bytes()</c>.</summary>
    private static ReadOnlyMemory<byte>? BytesOf(PickleValue data) => data switch
    {
        PickleBytes bytes => bytes.Value,
        PickleReduced { Callable.Name: "encode", Arguments.Items: [PickleText text, _] } => Latin1(text.Value),
        PickleReduced { Callable.Name: "bytes" or "bytearray", Arguments.Items: [] } => ReadOnlyMemory<byte>.Empty,
        PickleReduced { Callable.Name: "bytes" or "bytearray", Arguments.Items: [var inner] } => BytesOf(inner),
        _ => null,
    };

    private static ReadOnlyMemory<byte>? Latin1(string text)
    {
        foreach (char c in text)
            if (c > 255)
                return null;
        return Encoding.Latin1.GetBytes(text);
    }
}
