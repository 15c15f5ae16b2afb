using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Text;
using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;
using NormFree.Archives.Zip;

namespace NormFree.Archives.PyTorch;

/// <summary>The tensors of a file that PyTorch's <c>torch.save</c> has written: <c>.pt</c>, <c>.pth</c>, <c>.pth.tar</c>.</summary>
/// <remarks>
/// Both formats: a zip archive (PyTorch 1.6 and newer) and a stream of pickles (before). The file must hold a state dictionary, alone or under
/// <c>state_dict</c> or <c>model</c>. A pickle is a program; nothing of it is run, and one that asks for more than tensors need is refused.
/// The file is read into memory once; reading tensors is safe from several threads at once.
/// <example><code>
/// var file = PyTorchFile.Open("model_best.pth.tar");
/// foreach (var tensor in file.Tensors)
///     Console.WriteLine($"{tensor.Name}: {string.Join('×', tensor.Shape)} of {tensor.DType}");
/// </code></example>
/// </remarks>
public sealed class PyTorchFile
{
    /// <summary>A tensor that repeats its elements may take this many times the file's size, and no more.</summary>
    private const int LargestRepetition = 16;

    private static readonly BigInteger StreamMagic = new([0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);
    private static readonly PickleLimits Limits = PickleLimits.Default with { MaxBytes = Array.MaxLength };
    private readonly Dictionary<string, PyTorchTensor> byName;

    private PyTorchFile(string name, ReadOnlyMemory<byte> bytes)
    {
        Name = name;
        var (value, storages) = Content(bytes, name);
        var rebuild = new TensorRebuild(storages, (long)LargestRepetition * bytes.Length, name);
        var entries = StateDictionary.Of(value, name);
        Tensors = [.. entries.Where(entry => TensorRebuild.IsTensor(entry.Value))
            .Select(entry => new PyTorchTensor(entry.Key, rebuild.Build(entry.Key, entry.Value)))];
        OtherEntries = [.. entries.Where(entry => !TensorRebuild.IsTensor(entry.Value)).Select(entry => entry.Key)];
        byName = Tensors.ToDictionary(tensor => tensor.Name);
    }

    /// <summary>The name that errors give to the file.</summary>
    public string Name { get; }

    /// <summary>The state dictionary's tensors in its order.</summary>
    public IReadOnlyList<PyTorchTensor> Tensors { get; }

    /// <summary>The keys of what the state dictionary holds beside tensors.</summary>
    public IReadOnlyList<string> OtherEntries { get; }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">It holds no state dictionary of tensors.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PyTorchFile Open(string path)
    {
        if (Directory.Exists(path))
            InvalidFileException.Throw(path, "file", "it is a folder", "Name a file in it");
        using var stream = File.OpenRead(path);
        return Read(stream, path);
    }

    /// <summary>Reads the rest of a stream as a file.</summary>
    /// <param name="stream">The stream; it is not needed afterwards.</param>
    /// <param name="name">The name that errors give to it.</param>
    /// <exception cref="InvalidFileException">It holds no state dictionary of tensors, or is longer than an array can be.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PyTorchFile Read(Stream stream, string name) => new(name, Slurp.All(stream, name, Array.MaxLength));

    /// <summary>The tensor of a name; null where there is none.</summary>
    /// <param name="tensor">The key in the state dictionary.</param>
    public PyTorchTensor? Find(string tensor) => byName.GetValueOrDefault(tensor);

    private static (PickleValue Value, IStorages Storages) Content(ReadOnlyMemory<byte> bytes, string file)
    {
        if (bytes.Span.StartsWith("PK\x03\x04"u8))
            return ZipContent(StoredZip.Read(bytes, file), file);
        // The stream's first pickle is one number; whatever does not begin like a pickle is explained instead of parsed.
        if (bytes.Span is not [0x80, <= 5, ..])
            InvalidFileException.Throw(file, "byte 0", Stranger(bytes.Span), "Give a file that torch.save has written");
        return StreamContent(bytes, file);
    }

    private static (PickleValue Value, IStorages Storages) ZipContent(StoredZip zip, string file)
    {
        const string pickle = "data.pkl";
        var pickles = zip.Names.Where(name => name == pickle || name.EndsWith("/" + pickle, StringComparison.Ordinal)).Take(2).ToList();
        if (pickles.Count != 1)
            InvalidFileException.Throw(file, "file", $"it is a zip archive {(pickles.Count == 0 ? "without" : "with several")} data.pkl", "Give a file that torch.save has written");
        string folder = pickles[0][..^pickle.Length];
        if (zip.Find(folder + "constants.pkl") is not null)
            InvalidFileException.Throw(file, "file", "it is a TorchScript program", "Save model.state_dict() instead");
        var value = PickleReader.ReadPrefix(zip.Find(pickles[0])!.Value, file, Limits, StorageType.Globals, out _);
        return (value, new ZipStorages(zip, folder, IsBigEndian(zip, folder, file), file));
    }

    private static bool IsBigEndian(StoredZip zip, string folder, string file)
    {
        string order = zip.Find(folder + "byteorder") is { } bytes ? Encoding.Latin1.GetString(bytes.Span) : "little";
        if (order is not ("little" or "big"))
            InvalidFileException.Throw(file, "its part 'byteorder'", $"the byte order {Quoted.Name(order)} is not known", WayOut.FetchAgain);
        return order == "big";
    }

    /// <summary>Magic number, protocol, facts about the writer's machine, the value, and the keys of the storages: five pickles in a row.</summary>
    private static (PickleValue Value, IStorages Storages) StreamContent(ReadOnlyMemory<byte> bytes, string file)
    {
        int at = 0;
        PickleValue Next()
        {
            var value = PickleReader.ReadPrefix(bytes[at..], file, Limits, StorageType.Globals, out int length);
            at += length;
            return value;
        }

        if (Next() is not PickleInt { Value: var magic } || magic != StreamMagic)
            InvalidFileException.Throw(file, "byte 0", "its magic number is not PyTorch's", WayOut.FetchAgain);
        if (Next().AsInt64() is not 1001)
            InvalidFileException.Throw(file, $"byte {at}", "its protocol is not 1001", WayOut.FetchAgain);
        Next();
        var value = Next();
        var keys = Next();
        return (value, StreamStorages.Read(value, keys, bytes, at, file));
    }

    /// <summary>What a file is that torch.save has not written.</summary>
    private static string Stranger(ReadOnlySpan<byte> bytes) => bytes switch
    {
        [] => "the file is empty",
        [_, _, _, _, _, 0, 0, 0, (byte)'{', ..] => "it looks like a safetensors file",
        [0x1f, 0x8b, ..] => "it is packed with gzip",
        { Length: > 262 } when bytes[257..].StartsWith("ustar"u8) => "it is a tar archive, which PyTorch wrote before version 0.2 only",
        _ => "it is no PyTorch file",
    };
}
