using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace NormFree.Platform;

/// <summary>System calls on files that .NET does not expose, or whose errors it ignores.</summary>
public static class DiskFiles
{
    /// <summary>Whether the C library is called: on Linux and macOS.</summary>
    private static readonly bool HasLibc = OperatingSystem.IsLinux() || OperatingSystem.IsMacOS();

    private const int ReadOnly = 0, Interrupted = 4, InvalidArgument = 22, FullSync = 51;

    /// <summary>EOPNOTSUPP of Linux and macOS, ENOTSUP of macOS: the file system has no such operation.</summary>
    private static readonly int[] NotSupported = OperatingSystem.IsMacOS() ? [45, 102] : [95];

    /// <summary>EPERM and EACCES.</summary>
    private static readonly int[] NotPermitted = [1, 13];

    /// <summary>Arguments of statx, whose structure is the same on every processor.</summary>
    private const int CurrentFolder = -100, StatusBytes = 256, ModeAt = 28, TypeMask = 0xF000;

    private const int Pipe = 0x1000, CharacterDevice = 0x2000, BlockDevice = 0x6000, Socket = 0xC000;

    private const uint TypeWanted = 1;

    /// <summary>Flushes a file to the disk and throws if the disk fails.</summary>
    /// <remarks>
    /// FileStream.Flush(flushToDisk: true) ignores the errors of fsync on Unix (.NET 10), so a file that the disk rejected would look complete.
    /// On macOS, fsync leaves data in the drive's cache; F_FULLFSYNC empties that cache too. Elsewhere .NET's own flush is used.
    /// </remarks>
    /// <param name="file">The file. Every byte has been passed to the operating system.</param>
    /// <param name="name">The name of the file in errors.</param>
    /// <exception cref="IOException">The disk failed or is full. How much of the file is on the disk is unknown.</exception>
    public static void FlushFile(SafeFileHandle file, string name)
    {
        if (!HasLibc)
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

    /// <summary>Flushes a folder to the disk. Only then do renames in it survive a power failure; flushing the files is not enough.</summary>
    /// <remarks>Does nothing on other systems than Linux and macOS (NTFS logs renames by itself), in folders that may not be opened for reading, and on file systems that cannot flush folders.</remarks>
    /// <param name="path">The folder.</param>
    /// <exception cref="IOException">The folder cannot be opened (for example because too many files are open), or the disk failed.</exception>
    public static void FlushFolder(string path)
    {
        if (!HasLibc) return;
        int folder = Open(path, ReadOnly);
        int error = folder < 0 ? Marshal.GetLastPInvokeError() : Flush(folder);
        if (folder >= 0)
            _ = Close(folder);
        else if (Array.IndexOf(NotPermitted, error) >= 0)
            return;
        if (error != 0)
            throw new IOException($"{path} cannot be flushed to the disk: {Marshal.GetPInvokeErrorMessage(error)}. The new file in it is complete but may not survive a power failure: check the disk, then write it again.", error);
    }

    /// <summary>Flushes a descriptor. Returns the error number, or 0 if it succeeded or the file system cannot flush.</summary>
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

    /// <summary>Reads the first 256 bytes of a file as text, even if another process has locked it; .NET's streams refuse that.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The text; empty if the file cannot be read, and on Windows, where a lock forbids reading.</returns>
    public static unsafe string ReadLocked(string path)
    {
        if (!HasLibc) return "";
        int file = Open(path, ReadOnly);
        if (file < 0) return "";
        byte* bytes = stackalloc byte[256];
        nint count = Read(file, bytes, 256);
        _ = Close(file);
        return Encoding.UTF8.GetString(bytes, (int)Math.Max(0, count));
    }

    /// <summary>Whether a path leads to a pipe or socket, directly or through links. Opening one may block forever.</summary>
    /// <remarks>Always false on other systems than Linux.</remarks>
    /// <param name="path">The path.</param>
    public static bool IsPipe(string path) => TypeOf(path) is Pipe or Socket;

    /// <summary>Whether a path leads to a pipe, socket or device, directly or through links. Renaming a file to it would destroy it.</summary>
    /// <remarks>Always false on other systems than Linux.</remarks>
    /// <param name="path">The path.</param>
    public static bool IsSpecial(string path) => TypeOf(path) is Pipe or Socket or CharacterDevice or BlockDevice;

    /// <summary>The type bits of a file's mode; 0 if it does not exist, and on other systems than Linux.</summary>
    private static unsafe int TypeOf(string path)
    {
        if (!OperatingSystem.IsLinux()) return 0;
        byte* status = stackalloc byte[StatusBytes];
        return Status(CurrentFolder, path, 0, TypeWanted, status) == 0 ? *(ushort*)(status + ModeAt) & TypeMask : 0;
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
