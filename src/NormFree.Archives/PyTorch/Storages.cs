using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using NormFree.Archives.Pickle;
using NormFree.Archives.Zip;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>The bytes of one or more tensors: a slice of the file's memory.</summary>
/// <param name="Type">The type of the elements.</param>
/// <param name="Bytes">The bytes.</param>
/// <param name="BigEndian">Whether the elements are big-endian.</param>
internal sealed record Storage(DType Type, ReadOnlyMemory<byte> Bytes, bool BigEndian)
{
    /// <summary>The number of elements.</summary>
    public long Elements => Bytes.Length / Type.Bytes();
}

/// <summary>The storages of a file.</summary>
internal interface IStorages
{
    /// <summary>Finds the storage of an id.</summary>
    /// <param name="id">The id from the pickle.</param>
    /// <param name="where">The place in errors.</param>
    /// <exception cref="InvalidFileException">The file has no such storage, or one that contradicts the id.</exception>
    Storage Find(StorageId id, string where);
}

/// <summary>The storages of the zip format (since PyTorch 1.6): one file <c>data/KEY</c> each.</summary>
internal sealed class ZipStorages(StoredZip zip, string folder, bool bigEndian, string file) : IStorages
{
    private readonly Dictionary<string, ReadOnlyMemory<byte>> read = [];

    /// <inheritdoc/>
    public Storage Find(StorageId id, string where)
    {
        if (id.View is not null)
            InvalidFileException.Throw(file, where, "its storage is a view of another one, which this format does not support", Remedy.WriteAgain);
        var bytes = Bytes(id.Key, where);
        if (bytes.Length / id.Type.Bytes() != id.Elements)
            InvalidFileException.Throw(
                file, where, $"its storage should have {id.Elements} elements of {id.Type.Name()}, but has {bytes.Length} bytes", Remedy.DownloadAgain);
        return new Storage(id.Type, bytes, bigEndian);
    }

    /// <summary>Looks up a storage and verifies its checksum once.</summary>
    private ReadOnlyMemory<byte> Bytes(string key, string where)
    {
        if (read.TryGetValue(key, out var known))
            return known;
        if (zip.Find($"{folder}data/{key}") is not { } bytes)
        {
            InvalidFileException.Throw(file, where, $"its storage {Quoted.Name(key)} is not in the file", Remedy.DownloadAgain);
            return default;
        }
        read.Add(key, bytes);
        return bytes;
    }
}

/// <summary>The storages of the stream format (before PyTorch 1.6).</summary>
/// <remarks>
/// After the pickle follow a list of keys and then, for each key, the number of elements (8 bytes) and the bytes, little-endian on every machine.
/// Only the pickle's persistent ids give the types of the storages.
/// </remarks>
internal sealed class StreamStorages : IStorages
{
    private const int CountBytes = 8;
    private readonly string file;
    private readonly Dictionary<string, Storage> storages = new(StringComparer.Ordinal);

    private StreamStorages(string file) => this.file = file;

    /// <summary>Reads the storages after the list of keys. They must fill the rest of the file.</summary>
    /// <param name="value">The value of the file.</param>
    /// <param name="keys">The list of keys.</param>
    /// <param name="bytes">The whole file.</param>
    /// <param name="at">The offset of the first storage.</param>
    /// <param name="file">The name of the file in errors.</param>
    public static StreamStorages Read(PickleValue value, PickleValue keys, ReadOnlyMemory<byte> bytes, int at, string file)
    {
        var result = new StreamStorages(file);
        var types = result.Types(value);
        if (keys is not PickleList list)
        {
            result.Fail($"byte {at}", "the keys of the storages are not a list");
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
        // Types has made sure that all ids of a storage agree on the type.
        if (storage.Elements != id.Elements)
            Fail(where, $"its storage should have {id.Elements} elements of {id.Type.Name()}, but has {storage.Elements} of {storage.Type.Name()}");
        if (id.View is not { } part)
            return storage;
        if (part.Offset > storage.Elements || part.Elements > storage.Elements - part.Offset)
            Fail(where, $"its storage is a view of {part.Elements} elements from {part.Offset} of one that has {storage.Elements}");
        int size = id.Type.Bytes();
        return storage with { Bytes = storage.Bytes.Slice((int)part.Offset * size, (int)part.Elements * size) };
    }

    private Dictionary<string, ElementType> Types(PickleValue value)
    {
        var types = new Dictionary<string, ElementType>(StringComparer.Ordinal);
        foreach (var persistent in PersistentIds(value))
            if (StorageId.Parse(persistent) is { } id && !types.TryAdd(id.Key, id.Element) && types[id.Key] != id.Element)
                Fail($"storage {Quoted.Name(id.Key)}", $"it is used as {types[id.Key].Name} and as {id.Element.Name}");
        return types;
    }

    /// <summary>Finds each persistent id once. A pickle of a few bytes can reference one value exponentially often.</summary>
    private static IEnumerable<PicklePersistentId> PersistentIds(PickleValue root)
    {
        var seen = new HashSet<PickleValue>(ReferenceEqualityComparer.Instance);
        var path = new Stack<PickleValue>([root]);
        while (path.TryPop(out var value))
        {
            if (value is PicklePersistentId persistent)
                yield return persistent;
            for (int i = 0; PickleNesting.Child(value, i) is { } child; i++)
                if (PickleNesting.MayHaveChildren(child) && seen.Add(child))
                    path.Push(child);
        }
    }

    /// <summary>Adds the storage at an offset, and moves the offset after it. Storages of types that are not supported are skipped.</summary>
    private void Add(PickleValue key, Dictionary<string, ElementType> types, ReadOnlyMemory<byte> bytes, ref int at)
    {
        string where = $"byte {at}";
        if (key.AsText() is not { } name || !types.TryGetValue(name, out var type) || storages.ContainsKey(name))
        {
            Fail(where, "the key of a storage is not a string, occurs twice or is not used by any tensor");
            return;
        }
        if (bytes.Length - at < CountBytes)
            Fail(where, "the file ends before its last storage");
        long elements = BinaryPrimitives.ReadInt64LittleEndian(bytes.Span[at..]);
        at += CountBytes;
        if (elements < 0 || elements > (bytes.Length - at) / type.Bytes)
            Fail(where, $"a storage claims {elements} elements of {type.Name}, but {bytes.Length - at} bytes remain");
        int length = (int)elements * type.Bytes;
        if (type.Supported is { } supported)
            storages.Add(name, new Storage(supported, bytes.Slice(at, length), BigEndian: false));
        at += length;
    }

    [DoesNotReturn]
    private void Fail(string where, string what) => InvalidFileException.Throw(file, where, what, Remedy.DownloadAgain);
}
