using NormFree.Formats;
using NormFree.Formats.Safetensors;
using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>Reads and writes packed files: safetensors whose metadata describes the layers. docs/packed-format.md specifies the format.</summary>
/// <remarks>
/// Reading validates everything (<see cref="ModelChecks"/>), <see cref="PackedLimits"/> included. It allocates at most a small multiple of the file's size.
/// <example><code>
/// PackedModel model = PackedFile.Read("reactnet18.safetensors");
/// Console.WriteLine($"{model.Architecture}: {model.Layers.Count} layers, {model.Classes.Count} classes");
/// </code></example>
/// </remarks>
public static class PackedFile
{
    /// <summary>Whether a safetensors file is marked as a packed network, of any version.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">The file is not a safetensors file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static bool IsPacked(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return file.Metadata.GetValueOrDefault("format") == PackedFormat.Name;
    }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidFileException">The file is not a packed network, is damaged, has a newer version or exceeds a limit.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor is big-endian.</exception>
    public static PackedModel Read(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return new PackedFileReader(file).Read();
    }

    /// <summary>Reads a stream from its position to its end.</summary>
    /// <param name="stream">The stream; the caller closes it.</param>
    /// <param name="name">Its name in error messages.</param>
    /// <inheritdoc cref="Read(string)"/>
    public static PackedModel Read(Stream stream, string name)
    {
        using var file = SafetensorsFile.Read(stream, name);
        return new PackedFileReader(file).Read();
    }

    /// <summary>Writes a file atomically. Equal models give equal bytes.</summary>
    /// <param name="path">The file.</param>
    /// <param name="model">The network.</param>
    /// <exception cref="ArgumentException">The model is invalid; the message names the place and the problem.</exception>
    /// <exception cref="IOException">The file cannot be written. An existing file is unchanged.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable. An existing file is unchanged.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor is big-endian.</exception>
    public static void Write(string path, PackedModel model) => PackedFileWriter.Write(model).Save(path);

    /// <summary>Writes the bytes of a file to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="model">The network.</param>
    /// <exception cref="ArgumentException">The model is invalid; the message names the place and the problem.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor is big-endian.</exception>
    public static void Write(Stream stream, PackedModel model) => PackedFileWriter.Write(model).Write(stream);
}
