using System.Diagnostics.CodeAnalysis;

namespace NormFree.Formats;

/// <summary>A file violates its format. Readers throw no other exception for bad input.</summary>
/// <remarks>
/// The message is one line with the file, the place in it and a remedy, for example
/// <c>model.safetensors, tensor 'conv1.weight': shape [4, 3, 3, 3] of F32 needs 432 bytes, but the tensor has 72. Download the file again.</c>
/// <see cref="Printable.Text"/> escapes it. A file that cannot be opened or read is an <see cref="IOException"/>.
/// </remarks>
public sealed class InvalidFileException : FormatException
{
    /// <summary>Creates the error.</summary>
    /// <param name="file">The name of the file, as given by the caller.</param>
    /// <param name="where">The place: a tensor's name or a byte offset.</param>
    /// <param name="what">What is wrong there, without a full stop.</param>
    /// <param name="remedy">What to do about it: one sentence without a full stop.</param>
    public InvalidFileException(string file, string where, string what, string remedy)
        : base(Printable.Text($"{file}, {where}: {Cut(what)}. {remedy}."))
    {
        File = file;
        Where = where;
        What = what;
        Remedy = remedy;
    }

    /// <summary>What is wrong may quote the file; no file makes a message longer than this.</summary>
    private const int MaxLength = 4000;

    private static string Cut(string what) => what.Length <= MaxLength ? what : Printable.Cut(what, MaxLength);

    /// <summary>The name of the file, as given by the caller.</summary>
    public string File { get; }

    /// <summary>The place in the file: a tensor's name or a byte offset.</summary>
    public string Where { get; }

    /// <summary>What is wrong there.</summary>
    public string What { get; }

    /// <summary>What to do about it.</summary>
    public string Remedy { get; }

    /// <summary>Throws the error from a method of its own, so that the caller stays small enough to inline.</summary>
    [DoesNotReturn]
    internal static void Throw(string file, string where, string what, string remedy) =>
        throw new InvalidFileException(file, where, what, remedy);
}

/// <summary>The remedies that most errors share.</summary>
internal static class Remedy
{
    /// <summary>For a truncated or damaged file.</summary>
    public const string DownloadAgain = "The file is truncated or damaged: download or write it again";

    /// <summary>For a file whose writer violates the format.</summary>
    public const string WriteAgain = "The program that wrote the file violates the format: write it with another program";
}
