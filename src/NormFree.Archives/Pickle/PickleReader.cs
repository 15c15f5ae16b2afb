namespace NormFree.Archives.Pickle;

/// <summary>Limits for a pickle. They, and a small multiple of the file's length, bound the memory of the reader.</summary>
/// <param name="MaxDepth">How deep values may be nested; code that walks them may recurse.</param>
/// <param name="MaxMemo">How many values the memo may hold.</param>
/// <param name="MaxBytes">The length of the file.</param>
public sealed record PickleLimits(int MaxDepth, int MaxMemo, int MaxBytes)
{
    /// <summary>100 levels, two million memo entries, 1 GiB: enough for every published data set and checkpoint.</summary>
    public static PickleLimits Default { get; } = new(MaxDepth: 100, MaxMemo: 2_000_000, MaxBytes: 1 << 30);
}

/// <summary>Reads Python pickles of protocols 0 to 5 as data.</summary>
/// <remarks>
/// A pickle is a program, and Python's own reader executes it. This reader never does. Imports, calls and states become
/// <see cref="PickleGlobal"/> and <see cref="PickleReduced"/>; a name that the caller does not allow is an error.
/// <example><code>
/// var batch = PickleReader.Open("data_batch_1", PickleGlobals.Numpy);
/// var pixels = NumpyArray.From(batch.Find("data"), "data_batch_1", "data");
/// long[] labels = NumpyArray.Integers(batch.Find("labels"), "data_batch_1", "labels");
/// </code></example>
/// </remarks>
public static class PickleReader
{
    /// <summary>Reads a file that holds one pickle, within <see cref="PickleLimits.Default"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="allowed">The names that the pickle may reference.</param>
    /// <exception cref="InvalidFileException">The file is not a pickle of plain data.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static PickleValue Open(string path, PickleGlobals allowed)
    {
        using var stream = File.OpenRead(path);
        return Read(stream, path, PickleLimits.Default, allowed);
    }

    /// <summary>Reads the pickle that fills the rest of a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="file">The name of the stream in errors.</param>
    /// <param name="limits">Limits for the pickle.</param>
    /// <param name="allowed">The names that the pickle may reference.</param>
    /// <exception cref="InvalidFileException">The stream is not a pickle of plain data.</exception>
    /// <exception cref="IOException">The stream cannot be read.</exception>
    public static PickleValue Read(Stream stream, string file, PickleLimits limits, PickleGlobals allowed)
    {
        byte[] bytes = PlainFile.ReadAllBytes(stream, file, limits.MaxBytes);
        var value = ReadPrefix(bytes, file, limits, allowed, out int length);
        if (length < bytes.Length)
            InvalidFileException.Throw(file, $"byte {length}", $"{bytes.Length - length} bytes follow the end of the pickle", Remedy.DownloadAgain);
        return value;
    }

    /// <summary>Reads the pickle at the start of some bytes; old PyTorch checkpoints are several pickles in a row.</summary>
    /// <param name="bytes">The bytes. The <see cref="PickleBytes"/> in the result are slices of them.</param>
    /// <param name="file">The name of the bytes in errors.</param>
    /// <param name="limits">Limits for the pickle.</param>
    /// <param name="allowed">The names that the pickle may reference.</param>
    /// <param name="length">The length of the pickle.</param>
    /// <exception cref="InvalidFileException">The bytes do not start with a pickle of plain data.</exception>
    public static PickleValue ReadPrefix(
        ReadOnlyMemory<byte> bytes, string file, PickleLimits limits, PickleGlobals allowed, out int length)
    {
        var cursor = new PickleCursor(bytes, file);
        var value = new PickleMachine(cursor, limits, allowed).Run();
        if (!allowed.AllowsAll && PickleNesting.Problem(value, limits.MaxDepth) is { } problem)
            InvalidFileException.Throw(file, "the whole value", problem, "Write the data again with less nesting");
        length = cursor.Position;
        return value;
    }
}
