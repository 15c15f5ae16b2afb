using System.Text.RegularExpressions;
using NormFree.Platform;

namespace NormFree.Formats;

/// <summary>Writes a file completely or not at all.</summary>
public static partial class AtomicFile
{
    /// <summary>Writes a temporary file next to the target, flushes it to the disk, renames it to the target, and flushes the folder.</summary>
    /// <param name="path">The target. Its old content stays until the new file is complete.</param>
    /// <param name="write">Writes the content. Its exceptions are rethrown after the temporary file is deleted.</param>
    /// <exception cref="IOException">
    /// The target is a folder, device, pipe or socket; or the file cannot be written or flushed to the disk, and the old file is intact; or the
    /// folder cannot be flushed, and the message says that the new file may not survive a power failure.
    /// </exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable. The old file is intact.</exception>
    public static void Write(string path, Action<Stream> write) => Write(path, write, () => { });

    /// <summary>Writes a file like <see cref="Write(string, Action{Stream})"/> and calls back just before the rename.</summary>
    /// <inheritdoc cref="Write(string, Action{Stream})" path="/exception"/>
    /// <param name="path">The target. Its old content stays until the new file is complete.</param>
    /// <param name="write">Writes the content. Its exceptions are rethrown after the temporary file is deleted.</param>
    /// <param name="complete">Called once when the new file is complete and the old one still in place, for example to keep the old one under another name.</param>
    public static void Write(string path, Action<Stream> write, Action complete) => Replace(path, temporary =>
    {
        using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
        {
            write(stream);
            stream.Flush();
            DiskFiles.FlushFile(stream.SafeFileHandle, path);
        }
        complete();
        return true;
    });

    /// <summary>Replaces a file by one that is produced under a temporary name, if the producer approves it.</summary>
    /// <param name="path">The target. Its old content stays until the new file is complete.</param>
    /// <param name="produce">
    /// Gets the temporary path next to the target, writes that file and flushes it to the disk, checks it, and returns whether to keep it. Its
    /// exceptions are rethrown after the temporary file is deleted; I/O errors then name the target.
    /// </param>
    /// <returns>Whether the target was replaced.</returns>
    /// <exception cref="IOException">As for <see cref="Write(string, Action{Stream})"/>.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable. The old file is intact.</exception>
    public static bool Replace(string path, Func<string, bool> produce)
    {
        string target = Path.GetFullPath(path);
        string folder = Path.GetDirectoryName(target) ?? target;
        if (Directory.Exists(target))
            throw new IOException($"{path} is a folder and cannot be replaced by a file.");
        if (DiskFiles.IsSpecial(target))
            throw new IOException($"{path} is a device, pipe or socket and cannot be replaced by a file.");
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"{path} cannot be written: there is no folder {folder}.");

        string temporary = Path.Combine(folder, $".{Path.GetFileName(target)}.{Path.GetRandomFileName()}.tmp");
        bool kept = false;
        try
        {
            if (!produce(temporary)) return false;
            File.Move(temporary, target, overwrite: true);
            kept = true;
        }
        catch (IOException e) when (e.Message.Contains(temporary))
        {
            throw new IOException(e.Message.Replace(temporary, target), e.HResult);
        }
        catch (UnauthorizedAccessException e) when (e.Message.Contains(temporary))
        {
            throw new UnauthorizedAccessException(e.Message.Replace(temporary, target), e);
        }
        finally
        {
            if (!kept) Delete(temporary);
        }
        DiskFiles.FlushFolder(folder);
        return true;
    }

    /// <summary>Deletes the temporary files of processes that were killed while they wrote to a folder.</summary>
    /// <param name="folder">The folder. No other process may be writing to it.</param>
    /// <exception cref="IOException">A file cannot be deleted.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not writable.</exception>
    public static void RemoveLeftovers(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder, ".*.tmp").Where(file => Temporary().IsMatch(Path.GetFileName(file))))
            File.Delete(file);
    }

    /// <summary>Deletes a file and ignores failures: the error that led here is the one to report.</summary>
    private static void Delete(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <summary>Matches a dot, the target's name, a name from <see cref="Path.GetRandomFileName"/>, and the extension.</summary>
    [GeneratedRegex(@"^\..+\.[a-z0-9]{8}\.[a-z0-9]{3}\.tmp$")]
    private static partial Regex Temporary();
}
