using NormFree.Formats.Safetensors;
using NormFree.Archives.Zip;

namespace NormFree.Archives.PyTorch;

/// <summary>The storages of the zip format (PyTorch 1.6 and newer): a file <c>data/KEY</c> each.</summary>
internal sealed class ZipStorages(StoredZip zip, string folder, bool bigEndian, string file) : IStorages
{
    private readonly Dictionary<string, ReadOnlyMemory<byte>> read = [];

    /// <inheritdoc/>
    public Storage Find(StorageId id, string where)
    {
        if (id.View is not null)
            InvalidFileException.Throw(file, where, "a storage is a part of another one, which this format does not have", WayOut.WriteAgain);
        var bytes = Bytes(id.Key, where);
        if (bytes.Length / id.Type.Bytes() != id.Elements)
            InvalidFileException.Throw(
                file, where, $"its storage should have {id.Elements} elements of {id.Type.Name()} and has {bytes.Length} bytes", WayOut.FetchAgain);
        return new Storage(id.Type, bytes, bigEndian);
    }

    /// <summary>Each is looked up, and its checksum checked, once.</summary>
    private ReadOnlyMemory<byte> Bytes(string key, string where)
    {
        if (read.TryGetValue(key, out var known))
            return known;
        if (zip.Find($"{folder}data/{key}") is not { } bytes)
        {
            InvalidFileException.Throw(file, where, $"its storage {Quoted.Name(key)} is not in the file", WayOut.FetchAgain);
            return default;
        }
        read.Add(key, bytes);
        return bytes;
    }
}
