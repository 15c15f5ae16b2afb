using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>PyTorch's names of element types.</summary>
internal static class StorageTypes
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

    /// <summary>Storage classes of numbers that safetensors lacks, and the bytes of an element.</summary>
    private static readonly (string Storage, int Bytes)[] Unsupported =
    [
        ("ComplexFloatStorage", 8), ("ComplexDoubleStorage", 16),
        ("QInt8Storage", 1), ("QUInt8Storage", 1), ("QInt32Storage", 4), ("QUInt4x2Storage", 1), ("QUInt2x4Storage", 1),
    ];

    /// <summary>The elements of a storage class such as <c>torch.FloatStorage</c>, supported or not; null for other names.</summary>
    public static ElementType? Of(PickleGlobal storage)
    {
        if ((storage.Name == "UntypedStorage" ? DType.U8 : Find(row => row.Storage == storage.Name)) is { } type)
            return new ElementType(type.Name(), type, type.Bytes());
        foreach (var (name, bytes) in Unsupported)
            if (name == storage.Name)
                return new ElementType(name, null, bytes);
        return null;
    }

    /// <summary>The element type of a dtype such as <c>torch.uint16</c>; null for other names.</summary>
    public static DType? OfDType(PickleGlobal dtype) => Find(row => row.DTypeName == dtype.Name);

    /// <summary>The storage class of an element type; null if PyTorch has none.</summary>
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

/// <summary>The type of the elements of a storage.</summary>
/// <param name="Name">Its name in errors.</param>
/// <param name="Supported">The type; null for complex and quantised numbers, which are skipped.</param>
/// <param name="Bytes">The bytes of an element.</param>
internal readonly record struct ElementType(string Name, DType? Supported, int Bytes);

/// <summary>The persistent id of a storage in a pickle: ('storage', class, key, device, elements[, view]).</summary>
/// <param name="Element">The type of the elements.</param>
/// <param name="Key">The key of the storage in the file.</param>
/// <param name="Elements">The number of elements.</param>
/// <param name="View">The part of another storage that it views; null for an independent storage, the usual case.</param>
internal sealed record StorageId(ElementType Element, string Key, long Elements, StorageId.Part? View)
{
    /// <summary>The type of the elements of a storage that is supported.</summary>
    public DType Type => Element.Supported!.Value;

    /// <summary>A part of a storage, in elements.</summary>
    public readonly record struct Part(long Offset, long Elements);

    /// <summary>Parses a persistent id; null if it does not describe a storage.</summary>
    public static StorageId? Parse(PicklePersistentId persistent)
    {
        if (persistent.Id is not PickleTuple { Items: { Count: 5 or 6 } items }
            || items[0].AsText() != "storage"
            || items[1] is not PickleGlobal storage
            || StorageTypes.Of(storage) is not { } element
            || items[2].AsText() is not { } key
            || items[4].AsInt64() is not (>= 0 and var elements))
            return null;
        if (items.Count == 5 || items[5] is PickleNone)
            return new StorageId(element, key, elements, null);
        return items[5] is PickleTuple part && part.Items.Count == 3
            && part.Items[1].AsInt64() is >= 0 and var from && part.Items[2].AsInt64() is >= 0 and var size
            ? new StorageId(element, key, elements, new Part(from, size))
            : null;
    }
}
