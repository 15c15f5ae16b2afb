using System.Diagnostics.CodeAnalysis;

namespace NormFree.Formats;

/// <summary>A file does not hold what its format asks for: the one exception that readers of this library throw on bad input.</summary>
/// <remarks>
/// Its message names the file, the place in it and a way out, for example
/// <c>model.safetensors, tensor 'conv1.weight': 72 bytes for shape [4, 3, 3, 3], which needs 432. Download the file again.</c>
/// A file that cannot be opened or read at all is an <see cref="IOException"/> as everywhere.
/// </remarks>
public sealed class InvalidFileException : FormatException
{
    /// <summary>Creates the error.</summary>
    /// <param name="file">The file's name, as the caller gave it.</param>
    /// <param name="where">The place: a tensor's name or a byte offset.</param>
    /// <param name="what">What is wrong there, without a full stop.</param>
    /// <param name="wayOut">What to do about it, one sentence without a full stop.</param>
    public InvalidFileException(string file, string where, string what, string wayOut)
        : base($"{file}, {where}: {what}. {wayOut}.")
    {
        File = file;
        Where = where;
        What = what;
        WayOut = wayOut;
    }

    /// <summary>The file's name, as the caller gave it.</summary>
    public string File { get; }

    /// <summary>The place in the file: a tensor's name or a byte offset.</summary>
    public string Where { get; }

    /// <summary>What is wrong there.</summary>
    public string What { get; }

    /// <summary>What to do about it.</summary>
    public string WayOut { get; }

    /// <summary>Throws; apart from the code that calls it, so that this stays small.</summary>
    [DoesNotReturn]
    internal static void Throw(string file, string where, string what, string wayOut) =>
        throw new InvalidFileException(file, where, what, wayOut);
}
