using System.Runtime.InteropServices;

namespace NormFree.Torch.Native;

/// <summary>Lets the C library keep freed memory for the next training step, instead of giving it back to the system and asking for it again.</summary>
/// <remarks>
/// libtorch allocates and frees every intermediate result. By default glibc maps large ones anew each time, and the system then clears them page by
/// page: up to a tenth of a training step. With maps and trimming off, the heap of the main arena grows to what steps need, fragments included, and
/// does not shrink again, which is what a training wants and a server may not: so trainings ask for it, and loading libtorch does not. Whoever has set
/// MALLOC_… or GLIBC_TUNABLES knows better: then nothing is changed. Other C libraries have no such settings.
/// </remarks>
public static class MemoryReuse
{
    private const int TrimThreshold = -1, MostMaps = -4;

    /// <summary>Asks for it, for the whole process; does nothing where the C library is another one or refuses.</summary>
    public static void Enable()
    {
        if (!OperatingSystem.IsLinux() || IsSetByUser()) return;
        try
        {
            // Each is a hint: where one is refused, training is slower and otherwise the same.
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
