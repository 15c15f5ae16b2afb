using System.Buffers;

namespace NormFree.Formats;

/// <summary>What a file that was given as a network is instead, recognised by its first bytes.</summary>
/// <param name="What">What it is, as a clause.</param>
/// <param name="Remedy">What to do about it: one sentence without a full stop.</param>
public sealed record FileKind(string What, string Remedy)
{
    /// <summary>How many bytes <see cref="Of"/> looks at.</summary>
    public const int HeadBytes = 512;

    private const int MaxIrVersion = 32;

    /// <summary>How many of a zip archive's last bytes are searched for names: the directory is at the end.</summary>
    private const int ZipTailBytes = 1 << 16;

    private static readonly SearchValues<byte> Printables =
        SearchValues.Create([(byte)'\t', (byte)'\n', (byte)'\r', .. Enumerable.Range(' ', '~' - ' ' + 1).Select(letter => (byte)letter)]);

    /// <summary>Whether it starts as safetensors files do.</summary>
    public bool IsSafetensors { get; private init; }

    /// <summary>The kind of a file; null if it is unknown.</summary>
    /// <param name="head">Its first <see cref="HeadBytes"/> bytes, or fewer if it is shorter.</param>
    /// <param name="path">The file, for the command in the remedy.</param>
    public static FileKind? Of(ReadOnlySpan<byte> head, string path) => head switch
    {
        [] => new("the file is empty", "Download or copy it again"),
        _ when head.StartsWith("PK\u0003\u0004"u8) => PyTorch("it is a zip archive, as torch.save writes", path),
        _ when IsPickle(head) => PyTorch("it is a pickle, as torch.save writes", path),
        _ when Has(head, 5, "\0\0\0{"u8) => new("it is a safetensors file", $"Import it with normfree import --safetensors {Quoted.Argument(path)} --arch NAME --out CHECKPOINT") { IsSafetensors = true },
        _ when Compression(head) is var (kind, command) => new($"it is compressed with {kind}", $"Decompress it: {string.Format(command, Quoted.Argument(path))}"),
        _ when IsTar(head) && head.StartsWith("sys_info\0"u8) =>
            new("it is a tar archive of PyTorch before 0.2", "Load it with torch.load of PyTorch 1, and save its state_dict again"),
        _ when IsTar(head) => new("it is a tar archive", $"Extract the file of weights: tar -xf {Quoted.Argument(path)}"),
        _ when head.StartsWith("version https://git-lfs"u8) =>
            new("it is a Git LFS pointer, not the file that it stands for", "Run git lfs pull in its repository, or download the file itself"),
        _ when Has(head, 0, [0x89, (byte)'H', (byte)'D', (byte)'F']) => new("it is an HDF5 file, as Keras and Larq write", "Save the weights as safetensors, and import them"),
        _ when Has(head, 0, [0x93, (byte)'N', (byte)'U', (byte)'M']) => new("it is a NumPy array", "Save the state dictionary with torch.save or as safetensors"),
        _ when Has(head, 0, [0x89, (byte)'P', (byte)'N', (byte)'G']) || Has(head, 0, [0xff, 0xd8, 0xff]) => new("it is an image", "Give the file of the network"),
        _ when head.StartsWith("GGUF"u8) => new("it is a GGUF file", "Give the weights as safetensors"),
        _ when Has(head, 4, "TFL3"u8) => new("it is a TensorFlow Lite model", "Give the weights from before its conversion"),
        _ when IsOnnx(head) => new("it looks like an ONNX model, which NormFree writes but does not read", "Give the checkpoint that it was exported from"),
        _ when IsTorchSharp(head) =>
            new("it looks like TorchSharp's own format, which holds no network", "Save it with save_safetensors or save_py of TorchSharp.PyBridge, and import that file"),
        _ => OfText(head),
    };

    /// <summary>The kind of a stream's content; its position does not change. Null also if the stream cannot seek.</summary>
    internal static FileKind? OfStream(Stream stream, string path)
    {
        if (!stream.CanSeek)
            return null;
        long start = stream.Position;
        byte[] head = new byte[HeadBytes];
        int length = stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        var kind = head.AsSpan(0, length).StartsWith("PK\u0003\u0004"u8) ? OfZip(Tail(stream), path) : Of(head.AsSpan(0, length), path);
        stream.Position = start;
        return kind;
    }

    private static byte[] Tail(Stream stream)
    {
        byte[] tail = new byte[Math.Min(stream.Length, ZipTailBytes)];
        stream.Position = stream.Length - tail.Length;
        stream.ReadExactly(tail);
        return tail;
    }

    /// <summary>The kind of a zip archive, by the names in its directory.</summary>
    private static FileKind OfZip(ReadOnlySpan<byte> tail, string path) =>
        tail.IndexOf("constants.pkl"u8) >= 0 ? new("it is a TorchScript program", "Save model.state_dict() instead, and import that file")
        : tail.IndexOf("data.pkl"u8) >= 0 ? PyTorch("it is a zip archive, as torch.save writes", path)
        : tail.IndexOf(".npy"u8) >= 0 ? new("it is an archive of NumPy arrays", "Save the state dictionary with torch.save or as safetensors")
        : tail.IndexOf("model.weights.h5"u8) >= 0 ? new("it is a Keras model", "Save the weights as safetensors, and import them")
        : PyTorch("it is a zip archive, as torch.save writes", path);

    private static FileKind PyTorch(string what, string path) =>
        new(what, $"Import it first: normfree import --pytorch {Quoted.Argument(path)} --arch NAME --out CHECKPOINT");

    /// <summary>The kind of compression and the command that removes it from a file of any name, which stands for {0}; null if there is none.</summary>
    private static (string Kind, string Command)? Compression(ReadOnlySpan<byte> head) => head switch
    {
        [0x1f, 0x8b, ..] => ("gzip", "gunzip -c {0} > DECOMPRESSED"),
        _ when head.StartsWith("BZh"u8) => ("bzip2", "bunzip2 -c {0} > DECOMPRESSED"),
        [0xfd, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0, ..] => ("xz", "unxz -c {0} > DECOMPRESSED"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("Zstandard", "unzstd -c {0} > DECOMPRESSED"),
        [0x04, 0x22, 0x4d, 0x18, ..] => ("LZ4", "unlz4 -c {0} > DECOMPRESSED"),
        [(byte)'7', (byte)'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => ("7-Zip", "7z x {0}"),
        _ when head.StartsWith("Rar!\u001a\u0007"u8) => ("RAR", "unrar x {0}"),
        _ => null,
    };

    private static bool Has(ReadOnlySpan<byte> head, int at, ReadOnlySpan<byte> signature) => head[Math.Min(at, head.Length)..].StartsWith(signature);

    /// <summary>Whether it starts as pickles of protocols 2 to 5.</summary>
    private static bool IsPickle(ReadOnlySpan<byte> head) => head is [0x80, >= 2 and <= 5, ..];

    private static bool IsTar(ReadOnlySpan<byte> head) => head.Length > 262 && head[257..].StartsWith("ustar"u8);

    /// <summary>Whether it starts with the fields ir_version and producer_name, domain, graph or opset_import of a ModelProto.</summary>
    private static bool IsOnnx(ReadOnlySpan<byte> head) => head is [0x08, > 0 and <= MaxIrVersion, 0x12 or 0x1a or 0x22 or 0x2a or 0x32 or 0x3a or 0x42, ..];

    /// <summary>Whether it starts with a count and then a name with its length, as <c>Module.save</c> writes.</summary>
    private static bool IsTorchSharp(ReadOnlySpan<byte> head)
    {
        int at = head[0] >= 0x80 ? 2 : 1;
        if (head.Length <= at || head[at] is 0 or >= 0x80 || head.Length <= at + 1 + head[at])
            return false;
        foreach (byte letter in head.Slice(at + 1, head[at]))
            if (!char.IsAsciiLetterOrDigit((char)letter) && letter is not ((byte)'.' or (byte)'_'))
                return false;
        return true;
    }

    private static FileKind? OfText(ReadOnlySpan<byte> head)
    {
        var text = head.StartsWith("\uFEFF"u8) ? head[3..] : head;
        text = text.TrimStart(" \t\r\n"u8);
        if (text is [(byte)'<', (byte)'!' or (byte)'?' or (>= (byte)'A' and <= (byte)'z'), ..])
            return new("it is a web page, perhaps an error or a question of the server", "Open the link in a browser, and download the file itself");
        if (text is [(byte)'{' or (byte)'[', ..])
            return new("it is JSON text", "Give the file of the weights, such as model.safetensors");
        return IsText(head) ? new("it is text, perhaps an error of the program that downloaded it", "Read it, and give the file of the weights, such as model.safetensors") : null;
    }

    /// <summary>Whether there are only printable characters of ASCII and white space, or UTF-16 with its byte order mark.</summary>
    private static bool IsText(ReadOnlySpan<byte> head) =>
        head is [0xff, 0xfe, ..] or [0xfe, 0xff, ..] || !head.ContainsAnyExcept(Printables);
}
