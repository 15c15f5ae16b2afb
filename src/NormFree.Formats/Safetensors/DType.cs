using System.Numerics;

namespace NormFree.Formats.Safetensors;

/// <summary>The supported element types of safetensors. Files name them in capitals.</summary>
public enum DType
{
    /// <summary>One byte, 0 or 1.</summary>
    Bool,

    /// <summary>Unsigned 8-bit integer.</summary>
    U8,

    /// <summary>Signed 8-bit integer.</summary>
    I8,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE half precision.</summary>
    F16,

    /// <summary>bfloat16: the upper half of a float32.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE single precision.</summary>
    F32,

    /// <summary>IEEE double precision.</summary>
    F64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,
}

/// <summary>Names and sizes of element types.</summary>
public static class DTypes
{
    private static readonly (DType Type, string Name, int Bytes)[] Table =
    [
        (DType.Bool, "BOOL", 1),
        (DType.U8, "U8", 1),
        (DType.I8, "I8", 1),
        (DType.I16, "I16", 2),
        (DType.U16, "U16", 2),
        (DType.F16, "F16", 2),
        (DType.BF16, "BF16", 2),
        (DType.I32, "I32", 4),
        (DType.U32, "U32", 4),
        (DType.F32, "F32", 4),
        (DType.F64, "F64", 8),
        (DType.I64, "I64", 8),
        (DType.U64, "U64", 8),
    ];

    /// <summary>Every element type.</summary>
    public static IReadOnlyList<DType> All { get; } = [.. Table.Select(row => row.Type)];

    /// <summary>The size of one element in bytes.</summary>
    /// <param name="type">The type.</param>
    public static int Bytes(this DType type) => Table[(int)type].Bytes;

    /// <summary>The name in the file, for example <c>BF16</c>.</summary>
    /// <param name="type">The type.</param>
    public static string Name(this DType type) => Table[(int)type].Name;

    /// <summary>The type with this name; null for an unknown name.</summary>
    /// <param name="name">The name in the file.</param>
    public static DType? Parse(string name)
    {
        foreach (var row in Table)
            if (row.Name == name)
                return row.Type;
        return null;
    }
}

/// <summary>Converts stored elements to numbers of another type.</summary>
internal static class Elements
{
    /// <summary>Converts numbers: to floating point by rounding to nearest, to integers only from types that fit.</summary>
    public static void FromNumber<TStored, T>(ReadOnlySpan<TStored> stored, Span<T> values)
        where TStored : INumberBase<TStored> where T : INumberBase<T>
    {
        for (int i = 0; i < stored.Length; i++)
            values[i] = T.CreateTruncating(stored[i]);
    }

    /// <summary>Converts Booleans: 1 for every byte except 0.</summary>
    public static void FromBool<T>(ReadOnlySpan<byte> stored, Span<T> values) where T : INumberBase<T>
    {
        for (int i = 0; i < stored.Length; i++)
            values[i] = stored[i] != 0 ? T.One : T.Zero;
    }

    /// <summary>Converts bfloat16.</summary>
    public static void FromBFloat16<T>(ReadOnlySpan<ushort> stored, Span<T> values) where T : INumberBase<T>
    {
        for (int i = 0; i < stored.Length; i++)
            values[i] = T.CreateTruncating(BitConverter.Int32BitsToSingle(stored[i] << 16));
    }
}
