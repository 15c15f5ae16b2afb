using NormFree.Platform;

namespace NormFree.Formats;

/// <summary>Reads whole files within a limit. Nothing is allocated because of a length that a file or archive only claims.</summary>
public static class PlainFile
{
    private const int ChunkBytes = 64 * 1024;

    /// <summary>Reads all bytes of a regular file.</summary>
    /// <remarks>Pipes and sockets are rejected, because reading one may block forever. Devices have no length and give no bytes.</remarks>
    /// <param name="path">The file, or a link to it.</param>
    /// <param name="maxBytes">Longer files are rejected before memory is allocated.</param>
    /// <exception cref="InvalidFileException">It is a pipe or socket, or too long.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It is not readable, or it is a folder.</exception>
    public static byte[] ReadAllBytes(string path, long maxBytes)
    {
        RequireNoPipe(path, "Remove it");
        using var file = File.OpenHandle(path);
        long length = RandomAccess.GetLength(file);
        if (length > Math.Min(maxBytes, Array.MaxLength))
            InvalidFileException.Throw(path, "length", $"the file has {length} bytes; the limit is {maxBytes}", "Check that it is the right file");

        byte[] bytes = new byte[length];
        for (int count = 0, read; count < bytes.Length; count += read)
        {
            read = RandomAccess.Read(file, bytes.AsSpan(count), count);
            if (read == 0) throw new EndOfStreamException($"{path} became shorter while it was read.");
        }
        return bytes;
    }

    /// <summary>Rejects pipes and sockets: opening one may block forever, and what is read once is lost for a second reader.</summary>
    /// <param name="path">The file, or a link to it. It need not exist.</param>
    /// <param name="remedy">What to do about it: one sentence without a full stop.</param>
    /// <exception cref="InvalidFileException">It is a pipe or socket.</exception>
    public static void RequireNoPipe(string path, string remedy)
    {
        if (DiskFiles.IsPipe(path))
            InvalidFileException.Throw(path, "file type", "it is a pipe or socket, not a file", remedy);
    }

    /// <summary>Reads the rest of a stream.</summary>
    /// <param name="stream">The stream. It need not be seekable.</param>
    /// <param name="name">The name of the stream in errors.</param>
    /// <param name="maxBytes">Longer streams are rejected.</param>
    /// <exception cref="InvalidFileException">It is longer than <paramref name="maxBytes"/>.</exception>
    public static byte[] ReadAllBytes(Stream stream, string name, int maxBytes)
    {
        if (stream.CanSeek)
        {
            long length = stream.Length - stream.Position;
            if (length > maxBytes)
                ThrowTooLong(name, maxBytes);
            byte[] bytes = new byte[Math.Max(0, length)];
            stream.ReadExactly(bytes);
            return bytes;
        }

        using var copy = new MemoryStream();
        byte[] chunk = new byte[ChunkBytes];
        for (int read; (read = stream.Read(chunk)) > 0;)
        {
            if (copy.Length + read > maxBytes)
                ThrowTooLong(name, maxBytes);
            copy.Write(chunk, 0, read);
        }
        return copy.ToArray();
    }

    private static void ThrowTooLong(string name, int maxBytes) =>
        InvalidFileException.Throw(name, $"byte {maxBytes}", $"the file is longer than {maxBytes} bytes", "Raise the limit if the file should be this long");
}
