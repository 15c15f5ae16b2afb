using System.Text;

namespace NormFree.Archives.Pickle;

/// <summary>What NumPy puts into a pickle for an array, found in either of its two forms; not validated yet.</summary>
/// <param name="Shape">The sizes as they stand there.</param>
/// <param name="ElementType">The element type's code, null for one that is no plain little-endian number.</param>
/// <param name="ColumnMajor">Whether the first axis runs fastest.</param>
/// <param name="Bytes">The elements.</param>
internal sealed record NumpyParts(long[] Shape, string? ElementType, bool ColumnMajor, ReadOnlyMemory<byte> Bytes)
{
    /// <summary>The parts of an array; null where the value is none.</summary>
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

    /// <summary>dtype(code, align, copy) with the state (version, byte order, …).</summary>
    private static string? ElementTypeOf(PickleValue type)
    {
        if (type is not PickleReduced { Callable.Name: "dtype", Arguments.Items: [var code, ..], State: PickleTuple { Items: [_, var order, ..] } })
            return null;
        return code.AsText() is "b1" or "i1" or "u1" or "i2" or "u2" or "i4" or "u4" or "i8" or "u8" or "f2" or "f4" or "f8"
            && order.AsText() is "|" or "<"
            ? code.AsText()
            : null;
    }

    /// <summary>Bytes as such, or as Python 3 wraps them for protocols that have none: <c>encode('…', 'latin1')</c>, <c>bytes()</c>.</summary>
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
