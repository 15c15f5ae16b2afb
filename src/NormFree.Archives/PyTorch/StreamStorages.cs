using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>The storages of the stream format (before PyTorch 1.6): after the pickle a list of keys, then for each its number of elements
/// (8 bytes) and their bytes, little-endian on every machine.</summary>
internal sealed class StreamStorages : IStorages
{
    private const int CountBytes = 8;
    private readonly string file;
    private readonly Dictionary<string, Storage> storages = new(StringComparer.Ordinal);

    private StreamStorages(string file) => this.file = file;

    /// <summary>Reads the storages that follow the list of keys, which must fill the rest.</summary>
    /// <param name="value">The file's value: only its persistent ids tell the types of the storages.</param>
    /// <param name="keys">The list of keys.</param>
    /// <param name="bytes">The whole file.</param>
    /// <param name="at">Where the first storage begins.</param>
    /// <param name="file">The name that errors give to the file.</param>
    public static StreamStorages Read(PickleValue value, PickleValue keys, ReadOnlyMemory<byte> bytes, int at, string file)
    {
        var result = new StreamStorages(file);
        var types = result.Types(value);
        if (keys is not PickleList list)
        {
            result.Fail($"byte {at}", "the keys of the storages are no list");
            return result;
        }
        foreach (var key in list.Items)
            result.Add(key, types, bytes, ref at);
        if (at != bytes.Length)
            result.Fail($"byte {at}", $"{bytes.Length - at} bytes follow the last storage");
        return result;
    }

    /// <inheritdoc/>
    public Storage Find(StorageId id, string where)
    {
        if (!storages.TryGetValue(id.Key, out var storage))
            Fail(where, $"its storage {Quoted.Name(id.Key)} is not in the file");
        if (storage.Type != id.Type || storage.Elements != id.Elements)
            Fail(where, $"its storage should have {id.Elements} elements of {id.Type.Name()} and has {storage.Elements} of {storage.Type.Name()}");
        if (id.View is not { } part)
            return storage;
        if (part.Offset > storage.Elements || part.Elements > storage.Elements - part.Offset)
            Fail(where, $"its storage is {part.Elements} elements from {part.Offset} of one that has {storage.Elements}");
        int size = id.Type.Bytes();
        return storage with { Bytes = storage.Bytes.Slice((int)part.Offset * size, (int)part.Elements * size) };
    }

    private Dictionary<string, DType> Types(PickleValue value)
    {
        var types = new Dictionary<string, DType>(StringComparer.Ordinal);
        foreach (var persistent in PersistentIds.Of(value))
            if (StorageId.Parse(persistent) is { } id && !types.TryAdd(id.Key, id.Type) && types[id.Key] != id.Type)
                Fail($"storage {Quoted.Name(id.Key)}", $"it is used as {types[id.Key].Name()} and as {id.Type.Name()}");
        return types;
    }

    private void Add(PickleValue key, Dictionary<string, DType> types, ReadOnlyMemory<byte> bytes, ref int at)
    {
        string where = $"byte {at}";
        if (key.AsText() is not { } name || !types.TryGetValue(name, out var type) || storages.ContainsKey(name))
        {
            Fail(where, "a storage has no key, one that occurs twice, or one that no tensor uses");
            return;
        }
        if (bytes.Length - at < CountBytes)
            Fail(where, "the file ends before its last storage");
        long elements = BinaryPrimitives.ReadInt64LittleEndian(bytes.Span[at..]);
        at += CountBytes;
        if (elements < 0 || elements > (bytes.Length - at) / type.Bytes())
            Fail(where, $"{elements} elements of {type.Name()} are announced and {bytes.Length - at} bytes are left");
        int length = (int)elements * type.Bytes();
        storages.Add(name, new Storage(type, bytes.Slice(at, length), BigEndian: false));
        at += length;
    }

    [DoesNotReturn]
    private void Fail(string where, string what) => InvalidFileException.Throw(file, where, what, WayOut.FetchAgain);
}
