using System.Runtime.InteropServices;

namespace NormFree.Torch.Native;

/// <summary>Lets the C library keep freed memory for the next step, instead of giving it back to the system and asking for it again.</summary>
/// <remarks>
/// libtorch allocates and frees every intermediate result. By default glibc maps large ones anew each time, and the system then clears them page by
/// page: a tenth of a training step. With maps and trimming off, the heap grows to what a step needs at most, and stays. Whoever has set
/// MALLOC_… or GLIBC_TUNABLES knows better: then nothing is changed. Other C libraries have no such settings.
/// </remarks>
internal static class ReuseMemory
{
    private const int TrimThreshold = -1, MostMaps = -4;

    /// <summary>Sets both; does nothing where the C library is another one.</summary>
    public static void Ensure()
    {
        if (!OperatingSystem.IsLinux() || IsSetByUser()) return;
        try
        {
            _ = SetOption(MostMaps, 0);
            _ = SetOption(TrimThreshold, int.MaxValue);
        }
        catch (EntryPointNotFoundException)
        {
            // Not glibc.
        }
    }

    private static bool IsSetByUser() =>
        Environment.GetEnvironmentVariables().Keys.Cast<string>().Any(name => name.StartsWith("MALLOC_", StringComparison.Ordinal) || name == "GLIBC_TUNABLES");

    [DllImport("libc", EntryPoint = "mallopt")]
    private static extern int SetOption(int option, int value);
}
