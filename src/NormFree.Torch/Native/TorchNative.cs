using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Security.Cryptography;
using NormFree.Kernels.Simd;

namespace NormFree.Torch.Native;

/// <summary>
/// Loads libtorch's native libraries before TorchSharp needs them. Every program and script must call <see cref="Ensure"/> before its first use of
/// TorchSharp: if TorchSharp's own loader fails, the process cannot recover.
/// </summary>
/// <remarks>
/// TorchSharp's native shim (<c>libLibTorchSharp.so</c> 0.107.0) requires <c>GLIBCXX_3.4.32</c>, a symbol version that Debian 12's libstdc++ lacks, for
/// a symbol that it never calls. If the shim loads unmodified, nothing is changed. Otherwise a copy whose requirement is marked as weak is written to
/// the user's cache folder (<c>$XDG_CACHE_HOME/torchsharp-native</c>) and loaded instead. No other file is touched.
/// </remarks>
public static class TorchNative
{
    private const string ShimFile = "libLibTorchSharp.so";
    private const string RuntimeId = "linux-x64";

    /// <summary>The shim's dependencies, in load order. Once loaded by absolute path, the linker resolves them by name wherever the shim lies.</summary>
    private static readonly string[] Libtorch = ["libc10.so", "libtorch_cpu.so", "libtorch.so"];

    private static readonly Lock Gate = new();
    private static IntPtr shimHandle;

    /// <summary>Path of the loaded shim: the packaged file or the copy in the user's cache folder. Null before <see cref="Ensure"/>.</summary>
    public static string? LoadedFrom { get; private set; }

    /// <summary>Loads libtorch and TorchSharp's shim. Idempotent and thread-safe; does nothing on systems other than Linux.</summary>
    /// <param name="libtorchFolder">Folder that contains <c>libtorch_cpu.so</c>; null searches next to the program and in the package cache.</param>
    /// <exception cref="DllNotFoundException">A library was not found; the message lists the folders searched.</exception>
    public static void Ensure(string? libtorchFolder = null)
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (Gate)
        {
            if (shimHandle != IntPtr.Zero) return;
            var torchSharp = Assembly.Load("TorchSharp"); // runs no static constructor of TorchSharp
            var folders = CandidateFolders(torchSharp, libtorchFolder).Where(Directory.Exists).Distinct().ToArray();
            UsePassiveWaiting();
            foreach (var library in Libtorch) NativeLibrary.Load(Find(library, folders));
            LoadShim(Find(ShimFile, folders));
            // The linker normally resolves TorchSharp's request to the loaded library; the handler covers other search orders.
            AssemblyLoadContext.GetLoadContext(torchSharp)!.ResolvingUnmanagedDll +=
                (_, name) => name == "LibTorchSharp" ? shimHandle : IntPtr.Zero;
        }
    }

    /// <summary>Limits libtorch, oneDNN and MKL to an instruction set, for comparisons. Call it before <see cref="Ensure"/>; Linux only.</summary>
    /// <remarks>They read their limits from the process environment when they are loaded: ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and
    /// MKL_ENABLE_INSTRUCTIONS. Variables that the user has set stay.</remarks>
    /// <exception cref="InvalidOperationException">libtorch is loaded already.</exception>
    public static void Limit(InstructionSet set)
    {
        if (!OperatingSystem.IsLinux()) return;
        if (LoadedFrom is not null) throw new InvalidOperationException("libtorch is loaded already: limit its instruction set before.");
        var (aten, oneDnn, mkl) = set switch
        {
            InstructionSet.Avx512 => ("avx512", "ALL", "AVX512"),
            InstructionSet.Avx2 => ("avx2", "AVX2", "AVX2"),
            _ => ("default", "SSE41", "SSE4_2"),
        };
        SetEnvironment("ATEN_CPU_CAPABILITY", aten, overwrite: 0);
        SetEnvironment("ONEDNN_MAX_CPU_ISA", oneDnn, overwrite: 0);
        SetEnvironment("MKL_ENABLE_INSTRUCTIONS", mkl, overwrite: 0);
    }

    /// <summary>Makes idle libgomp threads sleep instead of spin, unless the user has set OMP_WAIT_POLICY.</summary>
    /// <remarks>
    /// By default they spin for about a millisecond. If anything else runs on the machine, a spinning thread occupies the processor that the thread it
    /// waits for needs, and training is an order of magnitude slower. Sleeping at once costs about 40 µs per operation. libgomp reads the variable from
    /// the process environment when it is loaded; .NET's Environment class does not write there.
    /// </remarks>
    private static void UsePassiveWaiting() => SetEnvironment("OMP_WAIT_POLICY", "passive", overwrite: 0);

    [DllImport("libc", EntryPoint = "setenv", CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
    private static extern int SetEnvironment(string name, string value, int overwrite);

    private static void LoadShim(string packaged)
    {
        var loaded = packaged;
        if (!NativeLibrary.TryLoad(packaged, out var handle))
            handle = NativeLibrary.Load(loaded = CopyWithWeakRequirement(packaged));
        (shimHandle, LoadedFrom) = (handle, loaded);
    }

    private static string Find(string file, string[] folders) =>
        folders.Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists)
        ?? throw new DllNotFoundException(
            $"{file} was not found in these folders: {string.Join(", ", folders)}. Reference the package libtorch-cpu-{RuntimeId}.");

    private static IEnumerable<string> CandidateFolders(Assembly torchSharp, string? given)
    {
        if (given != null) yield return given;
        // A program with a deps.json.
        if (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") is string search)
            foreach (var folder in search.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
                yield return folder;
        // A script that references a build's output.
        var home = Path.GetDirectoryName(torchSharp.Location);
        foreach (var folder in new[] { home, AppContext.BaseDirectory })
        {
            if (string.IsNullOrEmpty(folder)) continue;
            yield return folder;
            yield return Path.Combine(folder, "runtimes", RuntimeId, "native");
        }
        if (string.IsNullOrEmpty(home)) yield break;
        // A script that references NuGet packages: <cache>/torchsharp/<version>/lib/<framework>/TorchSharp.dll.
        var package = Path.GetFullPath(Path.Combine(home, "..", ".."));
        yield return Path.Combine(package, "runtimes", RuntimeId, "native");
        var libtorch = Path.GetFullPath(Path.Combine(package, "..", "..", "libtorch-cpu-" + RuntimeId));
        if (!Directory.Exists(libtorch)) yield break;
        foreach (var version in Directory.GetDirectories(libtorch).OrderDescending(StringComparer.Ordinal))
            yield return Path.Combine(version, "runtimes", RuntimeId, "native");
    }

    private static string CopyWithWeakRequirement(string packaged)
    {
        var image = File.ReadAllBytes(packaged);
        var digest = Convert.ToHexStringLower(SHA256.HashData(image))[..16];
        ElfSymbolVersions.Weaken(image, "GLIBCXX_3.4.32");
        var copy = Path.Combine(CacheFolder(), "torchsharp-native", digest, ShimFile);
        // Replaces a damaged or foreign copy.
        if (!File.Exists(copy) || !File.ReadAllBytes(copy).AsSpan().SequenceEqual(image)) WriteCopy(copy, image);
        return copy;
    }

    private static void WriteCopy(string copy, byte[] image)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            var temporary = $"{copy}.{Environment.ProcessId}.tmp";
            File.WriteAllBytes(temporary, image);
            File.Move(temporary, copy, overwrite: true); // atomic: several processes may start at once
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DllNotFoundException(
                $"TorchSharp needs a patched copy of its library at {copy}, which cannot be written: {error.Message} " +
                "Set XDG_CACHE_HOME to a writable folder.", error);
        }
    }

    private static string CacheFolder() =>
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache
            ? cache
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
}
