namespace NormFree.Archives.Pickle;

/// <summary>Reads Python's pickles, protocols 0 to 5, as data.</summary>
/// <remarks>
/// A pickle is a program, and Python's own reader runs it: opening one from a stranger is running a stranger's code. This reader
/// runs nothing. Names to import, calls and states come out as <see cref="PickleGlobal"/> and <see cref="PickleReduced"/>, and
/// a name outside of the caller's list is an error.
/// <example><code>
/// var batch = PickleReader.Open("data_batch_1", PickleGlobals.Numpy);
/// var pixels = NumpyArray.From(batch.Find("data"), "data_batch_1", "data");
/// long[] labels = NumpyArray.Integers(batch.Find("labels"), "data_batch_1", "labels");
/// </code></example>
/// </remarks>
public static class PickleReader
{
    /// <summary>Reads the one pickle that a file holds, within <see cref="PickleLimits.Default"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="allowed">The names that the pickle may mention.</param>
    /// <exception cref="InvalidFileException">The file is no pickle of plain data.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static PickleValue Open(string path, PickleGlobals allowed)
    {
        using var stream = File.OpenRead(path);
        return Read(stream, path, PickleLimits.Default, allowed);
    }

    /// <summary>Reads the one pickle that fills the rest of a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="file">The name that errors give to it.</param>
    /// <param name="limits">How large it may be.</param>
    /// <param name="allowed">The names that it may mention.</param>
    /// <exception cref="InvalidFileException">The stream holds no pickle of plain data.</exception>
    /// <exception cref="IOException">The stream cannot be read.</exception>
    public static PickleValue Read(Stream stream, string file, PickleLimits limits, PickleGlobals allowed)
    {
        byte[] bytes = Slurp.All(stream, file, limits.MaxBytes);
        var value = ReadPrefix(bytes, file, limits, allowed, out int length);
        if (length < bytes.Length)
            InvalidFileException.Throw(file, $"byte {length}", $"{bytes.Length - length} bytes follow the pickle's end", WayOut.FetchAgain);
        return value;
    }

    /// <summary>Reads the pickle at the beginning of some bytes; older PyTorch checkpoints are several, one after the other.</summary>
    /// <param name="bytes">The bytes. The value's <see cref="PickleBytes"/> are parts of them.</param>
    /// <param name="file">The name that errors give to them.</param>
    /// <param name="limits">How large it may be.</param>
    /// <param name="allowed">The names that it may mention.</param>
    /// <param name="length">How many bytes it took.</param>
    /// <exception cref="InvalidFileException">The bytes do not begin with a pickle of plain data.</exception>
    public static PickleValue ReadPrefix(
        ReadOnlyMemory<byte> bytes, string file, PickleLimits limits, PickleGlobals allowed, out int length)
    {
        var cursor = new PickleCursor(bytes, file);
        var value = new PickleMachine(cursor, limits, allowed).Run();
        if (PickleShape.Problem(value, limits.MaxDepth) is { } problem)
            InvalidFileException.Throw(file, "the whole value", problem, "Write the data again, flatter");
        length = cursor.Position;
        return value;
    }
}
