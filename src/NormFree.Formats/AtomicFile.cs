namespace NormFree.Formats;

/// <summary>Writes a file as a whole or not at all.</summary>
public static class AtomicFile
{
    /// <summary>Writes into a temporary file beside the target, flushes it to the disk, then renames it over the target.</summary>
    /// <param name="path">The target. What it held before stays there until the new file is complete.</param>
    /// <param name="write">Writes the content. Whatever it throws comes through; the temporary file is gone by then.</param>
    /// <exception cref="IOException">The file cannot be written. The old one is intact.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written to. The old file is intact.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        string target = Path.GetFullPath(path);
        string folder = Path.GetDirectoryName(target) ?? target;
        if (Directory.Exists(target))
            throw new IOException($"{path} is a folder, where a file is to be written.");
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"{path} cannot be written: there is no folder {folder}.");

        string temporary = Path.Combine(folder, $".{Path.GetFileName(target)}.{Path.GetRandomFileName()}.tmp");
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, target, overwrite: true);
        }
        catch (IOException e) when (e.Message.Contains(temporary))
        {
            Remove(temporary);
            throw new IOException(e.Message.Replace(temporary, target), e.HResult);
        }
        catch (UnauthorizedAccessException e) when (e.Message.Contains(temporary))
        {
            throw new UnauthorizedAccessException(e.Message.Replace(temporary, target), e);
        }
        catch
        {
            Remove(temporary);
            throw;
        }
    }

    /// <summary>The failure that led here matters more than one to clean up after it.</summary>
    private static void Remove(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }
}
