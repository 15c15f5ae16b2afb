namespace NormFree.Formats;

/// <summary>Reads a whole stream into memory.</summary>
public static class Slurp
{
    /// <summary>The rest of the stream. Allocates what the stream holds, whatever it may say about itself.</summary>
    /// <param name="stream">The stream. It need not be able to seek.</param>
    /// <param name="file">The name that errors give to it.</param>
    /// <param name="maxBytes">It may have so many bytes, and no more.</param>
    /// <exception cref="InvalidFileException">It is longer than <paramref name="maxBytes"/>.</exception>
    public static byte[] All(Stream stream, string file, int maxBytes)
    {
        if (stream.CanSeek)
        {
            long length = stream.Length - stream.Position;
            if (length > maxBytes)
                TooLong(file, maxBytes);
            byte[] bytes = new byte[Math.Max(0, length)];
            stream.ReadExactly(bytes);
            return bytes;
        }

        using var copy = new MemoryStream();
        byte[] chunk = new byte[64 * 1024];
        for (int read; (read = stream.Read(chunk)) > 0;)
        {
            if (copy.Length + read > maxBytes)
                TooLong(file, maxBytes);
            copy.Write(chunk, 0, read);
        }
        return copy.ToArray();
    }

    private static void TooLong(string file, int maxBytes) =>
        InvalidFileException.Throw(file, $"byte {maxBytes}", $"the file is longer than {maxBytes} bytes", "Raise the limit if it is meant to be so large");
}
