using System.Text;

namespace NormFree.Formats;

/// <summary>A file that one process holds: others see who. The lock is the operating system's, and ends with its process however that ends.</summary>
public sealed class FileLock : IDisposable
{
    /// <summary>Linux's and macOS's numbers for a file that is locked, and Windows' for one that is in use.</summary>
    private static readonly int[] Locked = [11, 35, unchecked((int)0x80070020)];

    private readonly FileStream stream;

    private FileLock(FileStream stream) => this.stream = stream;

    /// <summary>Takes a lock.</summary>
    /// <param name="path">The file, which is made if it is not there, and goes with the lock.</param>
    /// <param name="mark">Who takes it, in at most 256 bytes: what others are told.</param>
    /// <param name="holder">The mark of who has it already; empty where that cannot be read.</param>
    /// <returns>The lock; null where another one holds it.</returns>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    public static FileLock? TryTake(string path, string mark, out string holder)
    {
        holder = "";
        while (true)
        {
            FileStream stream;
            try
            {
                stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (Locked.Contains(e.HResult))
            {
                holder = Posix.ReadLocked(path);
                return null;
            }
            Write(stream, mark);
            if (IsNamed(path, mark)) return new FileLock(stream);
            stream.Dispose();
        }
    }

    /// <summary>Removes the file and frees the lock.</summary>
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
                // Without its lock the file means nothing.
            }
        }
    }

    private static void Write(FileStream stream, string mark)
    {
        stream.SetLength(0);
        stream.Write(Encoding.UTF8.GetBytes(mark));
        stream.Flush();
    }

    /// <summary>Whether the file that we hold is the one of that name: its last holder may have removed it between our opening and locking it.</summary>
    private static bool IsNamed(string path, string mark) => OperatingSystem.IsWindows() || Posix.ReadLocked(path) == mark;
}
