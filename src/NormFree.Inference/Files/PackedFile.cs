using NormFree.Formats;
using NormFree.Formats.Safetensors;
using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>Packed networks as files: safetensors whose metadata describe the layers, every tensor aligned to 64 bytes. See docs/packed-format.md.</summary>
/// <remarks>
/// Reading trusts nothing: what is read fits the layers that the file describes, and the layers fit one another. It allocates a small multiple of
/// the file's size at most.
/// <example><code>
/// PackedModel model = PackedFile.Read("reactnet18.safetensors");
/// Console.WriteLine($"{model.Architecture}: {model.Layers.Count} layers, {model.Classes.Count} classes");
/// </code></example>
/// </remarks>
public static class PackedFile
{
    /// <summary>Whether a safetensors file says that it is a packed network, of whatever version.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">It is no safetensors file.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static bool IsPacked(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return file.Metadata.GetValueOrDefault("format") == PackedFormat.Name;
    }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">It is no packed network, a damaged one, or one of a newer version.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="PlatformNotSupportedException">This processor has the highest byte of a number first.</exception>
    public static PackedModel Read(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return new PackedFileReader(file).Read();
    }

    /// <summary>Reads the rest of a stream.</summary>
    /// <param name="stream">The stream; it is not needed afterwards.</param>
    /// <param name="name">The name that errors give to it.</param>
    /// <inheritdoc cref="Read(string)"/>
    public static PackedModel Read(Stream stream, string name)
    {
        using var file = SafetensorsFile.Read(stream, name);
        return new PackedFileReader(file).Read();
    }

    /// <summary>Writes a file, whole or not at all. The same model gives the same bytes.</summary>
    /// <param name="path">The target.</param>
    /// <param name="model">The network.</param>
    /// <exception cref="ArgumentException">Something is wrong with the model; the message says where and what.</exception>
    /// <exception cref="IOException">The file cannot be written. The old one is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written to. The old file is intact.</exception>
    /// <exception cref="PlatformNotSupportedException">This processor has the highest byte of a number first.</exception>
    public static void Write(string path, PackedModel model) => PackedFileWriter.Write(model).Save(path);

    /// <summary>Writes a file's bytes to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="model">The network.</param>
    /// <exception cref="ArgumentException">Something is wrong with the model; the message says where and what.</exception>
    /// <exception cref="PlatformNotSupportedException">This processor has the highest byte of a number first.</exception>
    public static void Write(Stream stream, PackedModel model) => PackedFileWriter.Write(model).Write(stream);
}
