using System.Runtime.InteropServices;

namespace NormFree.Platform;

/// <summary>Makes glibc keep freed memory for the next training step instead of returning it to the system.</summary>
/// <remarks>
/// libtorch allocates and frees every intermediate result. By default glibc maps large blocks anew each time, and the kernel zeroes them page by page,
/// which takes up to a tenth of a training step. With mmap and trimming disabled, the heap grows to what a step needs, including fragmentation, and
/// never shrinks. That suits training but not a server, so training code enables it explicitly. If the user has set MALLOC_… or GLIBC_TUNABLES, nothing
/// is changed. Other C libraries have no such settings.
/// </remarks>
public static class MemoryReuse
{
    private const int TrimThreshold = -1, MaxMaps = -4 /* M_TRIM_THRESHOLD, M_MMAP_MAX */;

    /// <summary>Changes the settings of the whole process. Does nothing if the C library is not glibc or rejects them.</summary>
    public static void Enable()
    {
        if (!OperatingSystem.IsLinux() || IsSetByUser()) return;
        try
        {
            // Failure only makes training slower.
            _ = SetOption(MaxMaps, 0);
            _ = SetOption(TrimThreshold, int.MaxValue);
        }
        catch (EntryPointNotFoundException)
        {
            // The C library is not glibc.
        }
    }

    private static bool IsSetByUser() =>
        Environment.GetEnvironmentVariables().Keys.Cast<string>().Any(name => name.StartsWith("MALLOC_", StringComparison.Ordinal) || name == "GLIBC_TUNABLES");

    [DllImport("libc", EntryPoint = "mallopt")]
    private static extern int SetOption(int option, int value);
}
