namespace NormFree.Formats.Onnx;

/// <summary>What an ONNX file holds.</summary>
/// <remarks>
/// A small part of the format, enough for convolutional networks: see onnx/onnx.proto of the ONNX project for the whole.
/// <example><code>
/// var model = OnnxModel.Open("model.onnx");
/// foreach (var node in model.Graph.Nodes)
///     Console.WriteLine($"{node.Operator}: {string.Join(", ", node.Inputs)}");
/// </code></example>
/// </remarks>
/// <param name="Opset">The version of the operators.</param>
/// <param name="Producer">The program that wrote it.</param>
/// <param name="Graph">The network.</param>
/// <param name="Metadata">Texts of the writer.</param>
public sealed record OnnxModel(long Opset, string Producer, OnnxGraph Graph, IReadOnlyDictionary<string, string> Metadata)
{
    /// <summary>Writes the file as a whole or not at all.</summary>
    /// <param name="path">The target.</param>
    /// <exception cref="IOException">It cannot be written. The old file is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written to. The old file is intact.</exception>
    /// <exception cref="InvalidOperationException">The model passes protobuf's bound of 2 GiB.</exception>
    public void Save(string path) => AtomicFile.Write(path, Write);

    /// <summary>Writes the file's bytes to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <exception cref="InvalidOperationException">The model passes protobuf's bound of 2 GiB.</exception>
    public void Write(Stream stream) => OnnxWriter.Write(this, stream);

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">It is no ONNX file, or has tensors that are not in the file itself.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static OnnxModel Open(string path)
    {
        using var stream = File.OpenRead(path);
        return Read(stream, path);
    }

    /// <summary>Reads the rest of a stream as a file.</summary>
    /// <param name="stream">The stream; it is not needed afterwards.</param>
    /// <param name="name">The name that errors give to it.</param>
    /// <exception cref="InvalidFileException">It is no ONNX file, or has tensors that are not in the file itself.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static OnnxModel Read(Stream stream, string name) =>
        OnnxReader.Model(new ProtobufReader(Slurp.All(stream, name, Array.MaxLength), 0, name));
}
