using System.Text.RegularExpressions;

namespace NormFree.Formats;

/// <summary>Writes a file as a whole or not at all.</summary>
public static partial class AtomicFile
{
    /// <summary>Writes into a temporary file beside the target, flushes it to the disk, renames it over the target, and flushes the folder.</summary>
    /// <param name="path">The target. What it held before stays there until the new file is complete.</param>
    /// <param name="write">Writes the content. Whatever it throws comes through; the temporary file is gone by then.</param>
    /// <exception cref="IOException">
    /// The file cannot be written or flushed to the disk, and the old one is intact; or the folder cannot be flushed, and the message says that the new
    /// name may not survive a power cut.
    /// </exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written to. The old file is intact.</exception>
    public static void Write(string path, Action<Stream> write) => Write(path, write, () => { });

    /// <summary>The same, with something to do when the new file is complete and the old one still in its place, such as to keep it by another name.</summary>
    /// <inheritdoc cref="Write(string, Action{Stream})"/>
    /// <param name="path">The target. What it held before stays there until the new file is complete.</param>
    /// <param name="write">Writes the content. Whatever it throws comes through; the temporary file is gone by then.</param>
    /// <param name="complete">Called once, just before the file takes its name.</param>
    public static void Write(string path, Action<Stream> write, Action complete)
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
                stream.Flush();
                Posix.FlushFile(stream.SafeFileHandle, target);
            }
            complete();
            File.Move(temporary, target, overwrite: true);
            Posix.FlushFolder(folder);
        }
        catch (IOException e) when (e.Message.Contains(temporary))
        {
            Remove(temporary);
            throw new IOException(e.Message.Replace(temporary, target), e.HResult);
        }
        catch (UnauthorizedAccessException e) when (e.Message.Contains(temporary))
        {
            Remove(temporary);
            throw new UnauthorizedAccessException(e.Message.Replace(temporary, target), e);
        }
        catch
        {
            Remove(temporary);
            throw;
        }
    }

    /// <summary>Removes the temporary files that a process left in a folder when it was killed while it wrote.</summary>
    /// <param name="folder">The folder. Nobody else may be writing to it.</param>
    /// <exception cref="IOException">A file cannot be removed.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be removed.</exception>
    public static void RemoveLeftovers(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder, ".*.tmp").Where(file => Temporary().IsMatch(Path.GetFileName(file))))
            File.Delete(file);
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

    /// <summary>A dot, the target's name, what <see cref="Path.GetRandomFileName"/> gives, and the ending.</summary>
    [GeneratedRegex(@"^\..+\.[a-z0-9]{8}\.[a-z0-9]{3}\.tmp$")]
    private static partial Regex Temporary();
}
