namespace NormFree.Formats.Safetensors;

/// <summary>Facts about element types.</summary>
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

    /// <summary>The type of a name; null for a name that is not known.</summary>
    /// <param name="name">The name in the file.</param>
    public static DType? Parse(string name)
    {
        foreach (var row in Table)
            if (row.Name == name)
                return row.Type;
        return null;
    }
}
