using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>PyTorch's names for element types.</summary>
internal static class StorageType
{
    private static readonly (string Storage, string DTypeName, DType Type)[] Table =
    [
        ("FloatStorage", "float32", DType.F32),
        ("DoubleStorage", "float64", DType.F64),
        ("HalfStorage", "float16", DType.F16),
        ("BFloat16Storage", "bfloat16", DType.BF16),
        ("LongStorage", "int64", DType.I64),
        ("IntStorage", "int32", DType.I32),
        ("ShortStorage", "int16", DType.I16),
        ("CharStorage", "int8", DType.I8),
        ("ByteStorage", "uint8", DType.U8),
        ("BoolStorage", "bool", DType.Bool),
        ("", "uint16", DType.U16),
        ("", "uint32", DType.U32),
        ("", "uint64", DType.U64),
    ];

    /// <summary>The names that a state dictionary may mention.</summary>
    public static PickleGlobals Globals { get; } = PickleGlobals.PyTorch.With(new PickleGlobals(
        Table.Select(row => ("torch", row.DTypeName)).Concat(
        [
            ("torch", "UntypedStorage"),
            ("torch.storage", "UntypedStorage"),
            ("torch._utils", "_rebuild_tensor_v3"),
            ("torch._utils", "_rebuild_parameter_with_state"),
            ("torch.nn.parameter", "Parameter"),
        ])));

    /// <summary>The element type of a storage class; null for another name.</summary>
    public static DType? Of(PickleGlobal storage) =>
        storage.Name == "UntypedStorage" ? DType.U8 : Find(row => row.Storage == storage.Name);

    /// <summary>The element type of a name such as <c>torch.uint16</c>; null for another name.</summary>
    public static DType? OfDType(PickleGlobal dtype) => Find(row => row.DTypeName == dtype.Name);

    /// <summary>The storage class of an element type; null where PyTorch has none.</summary>
    public static string? Name(DType type)
    {
        foreach (var row in Table)
            if (row.Type == type && row.Storage.Length > 0)
                return row.Storage;
        return null;
    }

    private static DType? Find(Predicate<(string Storage, string DTypeName, DType Type)> fits)
    {
        foreach (var row in Table)
            if (fits(row))
                return row.Type;
        return null;
    }
}
