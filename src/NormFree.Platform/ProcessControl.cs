using System.Runtime.InteropServices;

namespace NormFree.Platform;

/// <summary>Limits, signals, environment and end of this process, where .NET offers no call or the wrong one.</summary>
public static class ProcessControl
{
    /// <summary>The size of Linux's <c>struct sigaction</c> on 64 bits, and the byte and the bit of SA_RESETHAND in it.</summary>
    private const int ActionSize = 152, ResetByte = 139, ResetBit = 0x80;

    private const int TerminateSignal = 15;

    /// <summary>SIG_IGN, the handler of a signal that the process ignores.</summary>
    private const long Ignoring = 1;

    private static readonly bool HasActionLayout = OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    /// <summary>How many files this process may have open. Null on other systems than Linux and macOS: Windows has no such limit.</summary>
    public static unsafe long? MaxOpenFiles()
    {
        if (!OperatingSystem.IsLinux() && !OperatingSystem.IsMacOS()) return null;
        ulong* limits = stackalloc ulong[2];
        return Limit(OperatingSystem.IsMacOS() ? 8 : 7, limits) == 0 ? (long)Math.Min(limits[0], long.MaxValue) : null;
    }

    /// <summary>Whether the process ignores a signal, as programs do that <c>nohup</c> starts. Always false on other systems than Linux.</summary>
    /// <param name="signal">The number of the signal.</param>
    public static bool IsSignalIgnored(int signal)
    {
        if (!HasActionLayout) return false;
        var action = new byte[ActionSize];
        return ReadAction(signal, 0, action) == 0 && BitConverter.ToInt64(action) == Ignoring;
    }

    /// <summary>
    /// Makes the kernel restore a signal's default action after its first arrival. The second then ends the process even if the runtime, its collector
    /// or native code is busy, which would delay a .NET handler.
    /// </summary>
    /// <remarks>Does nothing on other systems than Linux. There the .NET handler must end the process at the second signal.</remarks>
    /// <param name="signal">The number of a signal that has a handler.</param>
    public static void EndAtSecondSignal(int signal)
    {
        if (!HasActionLayout) return;
        var action = new byte[ActionSize];
        if (ReadAction(signal, 0, action) != 0) return;
        action[ResetByte] |= ResetBit;
        _ = WriteAction(signal, action, 0);
    }

    /// <summary>Ends the process without finalizers or exit handlers, which may wait for native threads.</summary>
    /// <param name="code">The exit code.</param>
    public static void ExitAtOnce(int code)
    {
        if (OperatingSystem.IsWindows())
            _ = TerminateProcess(-1, (uint)code); // −1 stands for this process
        else
            Exit(code);
    }

    /// <summary>Asks another process to end, with SIGTERM. Does nothing on Windows, which has no such signal.</summary>
    /// <param name="process">The number of the process.</param>
    public static void Terminate(int process)
    {
        if (!OperatingSystem.IsWindows()) _ = SendSignal(process, TerminateSignal);
    }

    /// <summary>Sets a variable that native libraries read when they are loaded, unless the user has set it.</summary>
    /// <remarks>.NET's Environment class does not write to the C library's environment. Does nothing on other systems than Linux and macOS.</remarks>
    /// <param name="name">The variable.</param>
    /// <param name="value">Its value.</param>
    public static void SetVariable(string name, string value)
    {
        if (OperatingSystem.IsLinux() || OperatingSystem.IsMacOS()) _ = SetEnvironment(name, value, overwrite: 0);
    }

    /// <summary>Waits for less than a millisecond, which .NET's timers cannot. Windows waits for about a millisecond.</summary>
    /// <param name="microseconds">The time.</param>
    public static void Sleep(int microseconds)
    {
        if (OperatingSystem.IsWindows())
            Thread.Sleep(1);
        else
            _ = SleepMicroseconds(microseconds);
    }

    [DllImport("libc", EntryPoint = "getrlimit")]
    private static extern unsafe int Limit(int resource, ulong* limits);

    [DllImport("libc", EntryPoint = "sigaction")]
    private static extern int ReadAction(int signal, nint none, byte[] action);

    [DllImport("libc", EntryPoint = "sigaction")]
    private static extern int WriteAction(int signal, byte[] action, nint none);

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int SendSignal(int process, int signal);

    [DllImport("libc", EntryPoint = "_exit")]
    private static extern void Exit(int code);

    [DllImport("kernel32", EntryPoint = "TerminateProcess")]
    private static extern int TerminateProcess(nint process, uint code);

    [DllImport("libc", EntryPoint = "setenv", CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
    private static extern int SetEnvironment(string name, string value, int overwrite);

    [DllImport("libc", EntryPoint = "usleep")]
    private static extern int SleepMicroseconds(int time);
}
