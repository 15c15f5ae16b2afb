using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace NormFree.Formats;

/// <summary>What .NET does not offer: folders as files, reading without asking for a lock, and what a path leads to.</summary>
internal static class Posix
{
    private const int ReadOnly = 0, Interrupted = 4, InvalidArgument = 22, FullSync = 51;

    /// <summary>EOPNOTSUPP of Linux and macOS, ENOTSUP of macOS: the file system has no such operation.</summary>
    private static readonly int[] NotSupported = OperatingSystem.IsMacOS() ? [45, 102] : [95];

    /// <summary>Of statx, whose structure is the same on every processor.</summary>
    private const int CurrentFolder = -100, StatusBytes = 256, ModeAt = 28, TypeMask = 0xF000, Pipe = 0x1000, Socket = 0xC000;

    private const uint TypeWanted = 1;

    /// <summary>Flushes a file to the disk, and reports the failure of the disk.</summary>
    /// <remarks>
    /// FileStream.Flush(flushToDisk: true) ignores the errors of fsync on Unix (.NET 10): a file that the disk did not take would look complete.
    /// On macOS, F_FULLFSYNC also empties the drive's own cache, which fsync leaves alone there.
    /// </remarks>
    /// <param name="file">The file; everything that is written is already in the operating system's hands.</param>
    /// <param name="name">The name of the file in errors.</param>
    /// <exception cref="IOException">The disk failed or is full. How much of the file is on the disk is unknown.</exception>
    public static void FlushFile(SafeFileHandle file, string name)
    {
        if (OperatingSystem.IsWindows())
        {
            RandomAccess.FlushToDisk(file);
            return;
        }
        bool added = false;
        try
        {
            file.DangerousAddRef(ref added);
            int error = Flush((int)file.DangerousGetHandle());
            if (error != 0)
                throw new IOException($"{name} cannot be flushed to the disk: {Marshal.GetPInvokeErrorMessage(error)}. Free space or check the disk, then write it again.", error);
        }
        finally
        {
            if (added) file.DangerousRelease();
        }
    }

    /// <summary>Flushes a folder to the disk: only then do renames in it survive a power cut. Flushing the files is not enough.</summary>
    /// <remarks>
    /// Where the folder may not be opened for reading, or its file system has no such operation, the renames are as durable as that system makes them;
    /// Windows has no such call.
    /// </remarks>
    /// <param name="path">The folder.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    public static void FlushFolder(string path)
    {
        if (OperatingSystem.IsWindows()) return;
        int folder = Open(path, ReadOnly);
        if (folder < 0) return;
        int error = Flush(folder);
        _ = Close(folder);
        if (error != 0)
            throw new IOException($"{path} cannot be flushed to the disk: {Marshal.GetPInvokeErrorMessage(error)}. The file that was renamed in it may not survive a power cut: check the disk, then write it again.", error);
    }

    /// <summary>The error number of flushing a descriptor; 0 where it succeeded, or where its file system has nothing to flush.</summary>
    private static int Flush(int descriptor)
    {
        while (true)
        {
            int result = OperatingSystem.IsMacOS() ? Control(descriptor, FullSync) : Sync(descriptor);
            int error = result >= 0 ? 0 : Marshal.GetLastPInvokeError();
            if (error == Interrupted) continue;
            return error == InvalidArgument || Array.IndexOf(NotSupported, error) >= 0 ? 0 : error;
        }
    }

    /// <summary>The begin of a file as text, also where another process has locked it, which .NET's streams refuse; empty where it cannot be read.</summary>
    /// <param name="path">The file.</param>
    public static unsafe string ReadLocked(string path)
    {
        int file = Open(path, ReadOnly);
        if (file < 0) return "";
        byte* bytes = stackalloc byte[256];
        nint count = Read(file, bytes, 256);
        _ = Close(file);
        return Encoding.UTF8.GetString(bytes, (int)Math.Max(0, count));
    }

    /// <summary>Whether a path leads to a pipe or socket, whose opening may wait for ever; links are followed.</summary>
    /// <param name="path">The path.</param>
    public static unsafe bool IsPipe(string path)
    {
        if (!OperatingSystem.IsLinux()) return false;
        byte* status = stackalloc byte[StatusBytes];
        return Status(CurrentFolder, path, 0, TypeWanted, status) == 0 && (*(ushort*)(status + ModeAt) & TypeMask) is Pipe or Socket;
    }

    [DllImport("libc", EntryPoint = "statx")]
    private static extern unsafe int Status(int folder, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint wanted, byte* status);

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    private static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", EntryPoint = "read")]
    private static extern unsafe nint Read(int file, byte* bytes, nint count);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static extern int Sync(int file);

    [DllImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static extern int Control(int file, int command);

    [DllImport("libc", EntryPoint = "close")]
    private static extern int Close(int file);
}
