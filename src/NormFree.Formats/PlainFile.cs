namespace NormFree.Formats;

/// <summary>Reads a file whose name comes from elsewhere: only what is a file, and no more of it than is expected.</summary>
public static class PlainFile
{
    /// <summary>All bytes of a file.</summary>
    /// <remarks>A pipe is refused: it would be waited for until somebody writes to it. Of a device, which has no length, nothing is read.</remarks>
    /// <param name="path">The file, or a link to it.</param>
    /// <param name="mostBytes">More than this are refused before anything is allocated.</param>
    /// <exception cref="InvalidFileException">It is a pipe or the like, or too long.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read, or is a folder.</exception>
    public static byte[] Read(string path, long mostBytes)
    {
        if (Posix.IsPipe(path))
            InvalidFileException.Throw(path, "its kind", "it is a pipe or socket, not a file", "Remove it");
        using var file = File.OpenHandle(path);
        long length = RandomAccess.GetLength(file);
        if (length > Math.Min(mostBytes, Array.MaxLength))
            InvalidFileException.Throw(path, "its length", $"{length} bytes are more than the {mostBytes} that one file may have", "Make sure that it is what it should be");

        byte[] bytes = new byte[length];
        for (int count = 0, read; count < bytes.Length; count += read)
        {
            read = RandomAccess.Read(file, bytes.AsSpan(count), count);
            if (read == 0) throw new EndOfStreamException($"{path} became shorter while it was read.");
        }
        return bytes;
    }
}
