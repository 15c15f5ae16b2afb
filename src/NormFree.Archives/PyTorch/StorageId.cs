using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>What a pickle says about a storage: the persistent id ('storage', class, key, device, elements[, view]).</summary>
/// <param name="Type">The type of its elements.</param>
/// <param name="Key">Its name in the file.</param>
/// <param name="Elements">How many it has.</param>
/// <param name="View">The part of another storage that it is; null, as nearly always, where it is one itself.</param>
internal sealed record StorageId(DType Type, string Key, long Elements, StorageId.Part? View)
{
    /// <summary>A part of a storage, in elements.</summary>
    public readonly record struct Part(long Offset, long Elements);

    /// <summary>Reads a persistent id; null where it is none of a storage.</summary>
    public static StorageId? Parse(PicklePersistentId persistent)
    {
        if (persistent.Id is not PickleTuple { Items: { Count: 5 or 6 } items }
            || items[0].AsText() != "storage"
            || items[1] is not PickleGlobal storage
            || StorageType.Of(storage) is not { } type
            || items[2].AsText() is not { } key
            || items[4].AsInt64() is not (>= 0 and var elements))
            return null;
        if (items.Count == 5 || items[5] is PickleNone)
            return new StorageId(type, key, elements, null);
        return items[5] is PickleTuple { Items: [_, var offset, var count] }
            && offset.AsInt64() is >= 0 and var from && count.AsInt64() is >= 0 and var size
            ? new StorageId(type, key, elements, new Part(from, size))
            : null;
    }
}
