using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Text;
using NormFree.Archives.Pickle;
using NormFree.Archives.Zip;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>The tensors of a file written by <c>torch.save</c>: <c>.pt</c>, <c>.pth</c>, <c>.pth.tar</c>.</summary>
/// <remarks>
/// Supports the zip format (since PyTorch 1.6) and the older stream of pickles. The file must hold a dictionary of tensors, alone or beside other
/// values, which are skipped. Pickles are never executed: whatever objects they describe stay descriptions.
/// Limits: a file of 2 GiB, <see cref="PickleLimits.Default"/> for its pickles, 64 axes, and 16 times the size of the file for one tensor.
/// The file is read into memory once; reading tensors is thread-safe.
/// <example><code>
/// var file = PyTorchFile.Open("model_best.pth.tar");
/// foreach (var tensor in file.Tensors)
///     Console.WriteLine($"{tensor.Name}: {string.Join('×', tensor.Shape)} of {tensor.DType}");
/// </code></example>
/// </remarks>
public sealed class PyTorchFile
{
    /// <summary>The limit for a tensor that repeats its elements through a stride of 0, as a multiple of the file's size.</summary>
    private const int MaxRepetition = 16;

    private static readonly BigInteger StreamMagic = new([0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);
    private static readonly PickleLimits Limits = PickleLimits.Default with { MaxBytes = Array.MaxLength };
    private readonly Dictionary<string, PyTorchTensor> byName;

    private PyTorchFile(string name, ReadOnlyMemory<byte> bytes, string? weights)
    {
        Name = name;
        var (value, storages) = Parse(bytes, name);
        var rebuild = new TensorRebuild(storages, (long)MaxRepetition * bytes.Length, name);
        var search = StateDictionarySearch.In(value);
        var chosen = StateDictionaryChoice.Of(search, value, weights, name);
        var entries = StateDictionary.Named(chosen.Value, name);
        Weights = chosen.Path;
        Dictionaries = [.. search.Found.Select(found => (found.Path, found.Tensors))];
        Skipped = SkippedValues.Beside(chosen, search.Found, value);
        Tensors = [.. entries.Where(entry => TensorRebuild.IsTensor(entry.Value))
            .Select(entry => new PyTorchTensor(entry.Key, rebuild.Build(entry.Key, entry.Value)))];
        OtherEntries = [.. entries.Where(entry => !TensorRebuild.IsTensor(entry.Value)).Select(entry => entry.Key)];
        byName = Tensors.ToDictionary(tensor => tensor.Name);
    }

    /// <summary>The name of the file in errors.</summary>
    public string Name { get; }

    /// <summary>The tensors in the order of the state dictionary.</summary>
    public IReadOnlyList<PyTorchTensor> Tensors { get; }

    /// <summary>The keys of the state dictionary whose values are not tensors.</summary>
    public IReadOnlyList<string> OtherEntries { get; }

    /// <summary>The keys that lead to the state dictionary, joined by dots; <c>.</c> if it is the value of the whole file.</summary>
    public string Weights { get; }

    /// <summary>All dictionaries of tensors in the file: the keys that lead to each, and its number of tensors.</summary>
    public IReadOnlyList<(string Path, int Tensors)> Dictionaries { get; }

    /// <summary>The values beside the state dictionary that hold no dictionary of tensors: their keys, and the class of an object.</summary>
    public IReadOnlyList<string> Skipped { get; }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="weights">Which of several dictionaries to read: one of the paths in <see cref="Dictionaries"/>, its last key, or <c>ema</c> for an
    /// averaged copy. Null prefers weights to their averages and usual names to others.</param>
    /// <exception cref="InvalidFileException">It does not hold such a dictionary of tensors.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PyTorchFile Open(string path, string? weights = null)
    {
        if (Directory.Exists(path))
            InvalidFileException.Throw(path, "file", "it is a folder", "Give a file in it");
        using var stream = File.OpenRead(path);
        return Read(stream, path, weights);
    }

    /// <summary>Reads the rest of a stream into memory as a file.</summary>
    /// <param name="stream">The stream. It can be closed afterwards.</param>
    /// <param name="name">The name of the file in errors.</param>
    /// <param name="weights">As for <see cref="Open"/>.</param>
    /// <exception cref="InvalidFileException">It does not hold such a dictionary of tensors, or it is longer than an array can be.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PyTorchFile Read(Stream stream, string name, string? weights = null) =>
        new(name, PlainFile.ReadAllBytes(stream, name, Array.MaxLength), weights);

    /// <summary>The tensor with this name; null if there is none.</summary>
    /// <param name="tensor">The key in the state dictionary.</param>
    public PyTorchTensor? Find(string tensor) => byName.GetValueOrDefault(tensor);

    private static (PickleValue Value, IStorages Storages) Parse(ReadOnlyMemory<byte> bytes, string file)
    {
        if (bytes.Span.StartsWith("PK\x03\x04"u8))
            return ParseZip(StoredZip.Read(bytes, file), file);
        // Both formats start recognisably. Anything else is described instead of parsed.
        if (bytes.Span is not [0x80, <= 5, ..])
        {
            var kind = FileKind.Of(bytes.Span[..Math.Min(bytes.Length, FileKind.HeadBytes)], file);
            InvalidFileException.Throw(file, "byte 0", kind?.What ?? "it is not a PyTorch file", kind?.Remedy ?? "Give a file written by torch.save");
        }
        return ParseStream(bytes, file);
    }

    private static (PickleValue Value, IStorages Storages) ParseZip(StoredZip zip, string file)
    {
        const string pickle = "data.pkl";
        var pickles = zip.Names.Where(name => name == pickle || name.EndsWith("/" + pickle, StringComparison.Ordinal)).Take(2).ToList();
        if (pickles.Count != 1)
            InvalidFileException.Throw(file, "file", $"it is a zip archive {(pickles.Count == 0 ? "without" : "with several")} data.pkl", "Give a file written by torch.save");
        string folder = pickles[0][..^pickle.Length];
        if (zip.Find(folder + "constants.pkl") is not null)
            InvalidFileException.Throw(file, "file", "it is a TorchScript program", "Save model.state_dict() instead");
        var value = PickleReader.ReadPrefix(zip.Find(pickles[0])!.Value, file, Limits, PickleGlobals.Any, out _);
        return (value, new ZipStorages(zip, folder, IsBigEndian(zip, folder, file), file));
    }

    private static bool IsBigEndian(StoredZip zip, string folder, string file)
    {
        string order = zip.Find(folder + "byteorder") is { } bytes ? Encoding.Latin1.GetString(bytes.Span) : "little";
        if (order is not ("little" or "big"))
            InvalidFileException.Throw(file, "entry 'byteorder'", $"the byte order {Quoted.Name(order)} is unknown", Remedy.DownloadAgain);
        return order == "big";
    }

    /// <summary>Reads five pickles in a row: magic number, protocol, system information, value, and the keys of the storages.</summary>
    private static (PickleValue Value, IStorages Storages) ParseStream(ReadOnlyMemory<byte> bytes, string file)
    {
        int at = 0;
        PickleValue Next()
        {
            var value = PickleReader.ReadPrefix(bytes[at..], file, Limits, PickleGlobals.Any, out int length);
            at += length;
            return value;
        }

        if (Next() is not PickleInt { Value: var magic } || magic != StreamMagic)
            InvalidFileException.Throw(
                file, "byte 0", "it is a pickle that torch.save did not write: its magic number is not PyTorch's", "Save the state_dict with torch.save");
        if (Next().AsInt64() is not 1001)
            InvalidFileException.Throw(file, $"byte {at}", "its protocol is not 1001", Remedy.DownloadAgain);
        Next();
        var value = Next();
        var keys = Next();
        return (value, StreamStorages.Read(value, keys, bytes, at, file));
    }
}

/// <summary>A tensor of a PyTorch file. Several tensors may share bytes.</summary>
public sealed class PyTorchTensor
{
    private readonly StridedView view;

    internal PyTorchTensor(string name, StridedView view)
    {
        Name = name;
        this.view = view;
    }

    /// <summary>Its key in the state dictionary.</summary>
    public string Name { get; }

    /// <summary>Its element type.</summary>
    public DType DType => view.Type;

    /// <summary>The size of each axis; empty for a scalar.</summary>
    public IReadOnlyList<long> Shape => view.Shape;

    /// <summary>The length of the result of <see cref="ToBytes"/>.</summary>
    public long Bytes => view.Bytes;

    /// <summary>Copies the elements, row-major and little-endian whatever the strides in the file.</summary>
    public byte[] ToBytes() => view.ToBytes();
}
