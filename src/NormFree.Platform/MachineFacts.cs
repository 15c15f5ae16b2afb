using System.Globalization;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Platform;

/// <summary>Facts about the machine and the process that .NET does not tell. Linux reports them in files of <c>/proc</c>.</summary>
public static class MachineFacts
{
    private const string Gpus = "/proc/driver/nvidia/gpus";

    /// <summary>The processor's name. Null on macOS, and on Linux if the kernel gives none.</summary>
    public static string? Processor() =>
        OperatingSystem.IsWindows() ? Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") : Field("model name", "/proc/cpuinfo");

    /// <summary>The name of the first NVIDIA GPU, if its driver is loaded. Null on other systems than Linux.</summary>
    public static string? Gpu() =>
        Directory.Exists(Gpus)
            ? Directory.GetDirectories(Gpus).Order(StringComparer.Ordinal).Select(gpu => Field("Model", Path.Combine(gpu, "information"))).FirstOrDefault(name => name is not null)
            : null;

    /// <summary>The load average of the last minute. Null on other systems than Linux.</summary>
    public static double? LoadAverage() =>
        Lines("/proc/loadavg") is [var line, ..] ? double.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture) : null;

    /// <summary>Bytes of memory that processes may still allocate. Null on other systems than Linux.</summary>
    public static long? AvailableMemory() => Kibibytes("MemAvailable", "/proc/meminfo");

    /// <summary>The peak memory of this process in bytes. Null on other systems than Linux.</summary>
    public static long? PeakMemory() => Kibibytes("VmHWM", "/proc/self/status");

    /// <summary>Whether the processor reports the sizes of its caches (CPUID leaf 4 of Intel, 0x8000001D of AMD). Some virtual machines hide them. True on
    /// processors other than x86.</summary>
    public static bool ReportsCaches() => !X86Base.IsSupported || ReportsCache(4) || HasLeaf(AmdCaches) && ReportsCache(AmdCaches);

    private const int AmdCaches = unchecked((int)0x8000001D);

    /// <summary>Whether the processor has this extended leaf of CPUID.</summary>
    private static bool HasLeaf(int leaf) => (uint)X86Base.CpuId(unchecked((int)0x80000000), 0).Eax >= (uint)leaf;

    /// <summary>Whether the leaf's first cache has a type.</summary>
    private static bool ReportsCache(int leaf) => (X86Base.CpuId(leaf, 0).Eax & 0x1F) != 0;

    private static long? Kibibytes(string name, string path) =>
        Field(name, path) is { } value ? 1024 * long.Parse(value.Split(' ')[0], CultureInfo.InvariantCulture) : null;

    /// <summary>The value of the first line <c>name: value</c> of a file.</summary>
    private static string? Field(string name, string path) =>
        Lines(path).Select(line => line.Split(':', 2)).FirstOrDefault(parts => parts.Length == 2 && parts[0].Trim() == name)?[1].Trim();

    /// <summary>The lines of a file; empty if it does not exist.</summary>
    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (IOException)
        {
            return [];
        }
    }
}
