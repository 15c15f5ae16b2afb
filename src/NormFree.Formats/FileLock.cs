using System.Text;
using NormFree.Platform;

namespace NormFree.Formats;

/// <summary>A lock file that names its holder. The operating system releases the lock when the process ends, even after a crash.</summary>
public sealed class FileLock : IDisposable
{
    /// <summary>The error numbers for a locked file: EAGAIN on Linux and macOS, ERROR_SHARING_VIOLATION on Windows.</summary>
    private static readonly int[] Locked = [11, 35, unchecked((int)0x80070020)];

    /// <summary>How often a lock file may vanish, or be unreadable, while it is taken.</summary>
    private const int MaxAttempts = 100;

    private readonly FileStream stream;

    private FileLock(FileStream stream) => this.stream = stream;

    /// <summary>Tries to take a lock.</summary>
    /// <param name="path">The lock file. It is created if necessary and deleted on release.</param>
    /// <param name="mark">Describes this holder to others, in at most 256 bytes of UTF-8.</param>
    /// <param name="holder">The mark of the present holder; empty if it cannot be read, as on Windows.</param>
    /// <returns>The lock, or null if another process holds it.</returns>
    /// <exception cref="IOException">The file cannot be written, or not be read again.</exception>
    /// <exception cref="UnauthorizedAccessException">The file is not writable.</exception>
    public static FileLock? TryTake(string path, string mark, out string holder)
    {
        holder = "";
        if (DiskFiles.IsSpecial(path))
            throw new IOException($"{path} is a device, pipe or socket, not a lock file. Remove it.");
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            FileStream stream;
            try
            {
                stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (Locked.Contains(e.HResult))
            {
                holder = DiskFiles.ReadLocked(path);
                return null;
            }
            try
            {
                Write(stream, mark);
                if (IsStillNamed(path, mark)) return new FileLock(stream);
            }
            catch
            {
                stream.Dispose();
                throw;
            }
            stream.Dispose();
        }
        throw new IOException($"{path} was written {MaxAttempts} times, but its content cannot be read.");
    }

    /// <summary>Deletes the file and releases the lock.</summary>
    public void Dispose()
    {
        using (stream)
        {
            try
            {
                File.Delete(stream.Name);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A lock file that nobody has locked means nothing.
            }
        }
    }

    private static void Write(FileStream stream, string mark)
    {
        stream.SetLength(0);
        stream.Write(Encoding.UTF8.GetBytes(mark));
        stream.Flush();
    }

    /// <summary>Whether the path still names the locked file: its last holder may have deleted it after this process opened it.</summary>
    private static bool IsStillNamed(string path, string mark) => OperatingSystem.IsWindows() || DiskFiles.ReadLocked(path) == mark;
}
