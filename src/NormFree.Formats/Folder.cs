using System.Runtime.InteropServices;

namespace NormFree.Formats;

/// <summary>What a folder needs beside its files to outlive a power cut.</summary>
internal static class Folder
{
    private const int ReadOnly = 0, IoError = 5, NoSpace = 28;

    /// <summary>Flushes a folder to the disk: only then do renames in it survive a power cut. Flushing the files is not enough.</summary>
    /// <remarks>
    /// .NET opens no folders, so this asks the C library. Where the folder may not be opened for reading, or its file system has no such thing, the
    /// renames are as durable as that system makes them; other systems than Linux and macOS order them themselves.
    /// </remarks>
    /// <param name="path">The folder.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    public static void Flush(string path)
    {
        if (OperatingSystem.IsWindows()) return;
        int folder = Open(path, ReadOnly);
        if (folder < 0) return;
        int error = Sync(folder) == 0 ? 0 : Marshal.GetLastPInvokeError();
        _ = Close(folder);
        if (error is IoError or NoSpace)
            throw new IOException($"{path} cannot be flushed to the disk: {Marshal.GetPInvokeErrorMessage(error)}.", error);
    }

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    private static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static extern int Sync(int file);

    [DllImport("libc", EntryPoint = "close")]
    private static extern int Close(int file);
}
