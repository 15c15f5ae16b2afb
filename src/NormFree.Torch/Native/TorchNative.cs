using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Security.Cryptography;

namespace NormFree.Torch.Native;

/// <summary>
/// Loads libtorch's native libraries before TorchSharp asks for them. Call <see cref="Ensure"/> first thing in every program and script:
/// once TorchSharp's own loader has failed, the process cannot recover.
/// </summary>
/// <remarks>
/// TorchSharp's shim (<c>libLibTorchSharp.so</c> 0.107.0) asks the dynamic linker for <c>GLIBCXX_3.4.32</c>, a symbol version that Debian 12's
/// libstdc++ lacks, for a symbol that it never calls. Where the shim loads as it is, nothing is changed. Where it does not, a copy whose
/// requirement is marked weak is written to the user's cache folder (<c>$XDG_CACHE_HOME/torchsharp-native</c>) and loaded instead; no other file
/// is touched.
/// </remarks>
public static class TorchNative
{
    private const string ShimFile = "libLibTorchSharp.so";
    private const string RuntimeId = "linux-x64";

    /// <summary>What the shim needs, in load order. Once they are loaded by absolute path, the linker finds them by name wherever the shim lies.</summary>
    private static readonly string[] Libtorch = ["libc10.so", "libtorch_cpu.so", "libtorch.so"];

    private static readonly Lock Gate = new();
    private static IntPtr shimHandle;

    /// <summary>Path of the shim that was loaded: the packaged one, or the copy in the user's cache folder. Null before <see cref="Ensure"/>.</summary>
    public static string? LoadedFrom { get; private set; }

    /// <summary>Loads libtorch and TorchSharp's shim. Idempotent and thread-safe; does nothing on other systems than Linux.</summary>
    /// <param name="libtorchFolder">Folder that holds <c>libtorch_cpu.so</c>; null searches beside the program and in the package cache.</param>
    /// <exception cref="DllNotFoundException">A library is in none of the folders searched; the message lists them.</exception>
    public static void Ensure(string? libtorchFolder = null)
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (Gate)
        {
            if (shimHandle != IntPtr.Zero) return;
            var torchSharp = Assembly.Load("TorchSharp"); // runs no static constructor of TorchSharp
            var folders = CandidateFolders(torchSharp, libtorchFolder).Where(Directory.Exists).Distinct().ToArray();
            WaitAsleep();
            foreach (var library in Libtorch) NativeLibrary.Load(Find(library, folders));
            LoadShim(Find(ShimFile, folders));
            // The linker answers TorchSharp's later request by the name of the loaded library; the handler covers other orders of search.
            AssemblyLoadContext.GetLoadContext(torchSharp)!.ResolvingUnmanagedDll +=
                (_, name) => name == "LibTorchSharp" ? shimHandle : IntPtr.Zero;
        }
    }

    /// <summary>
    /// libgomp's threads spin for about a millisecond before they sleep. Where anything else runs on the machine, a spinning thread keeps the one
    /// that it waits for from its processor, and training is slower by an order of magnitude; sleeping at once costs some 40 µs an operation. Who
    /// has the machine to himself sets OMP_WAIT_POLICY=active, which stays as it is. libgomp reads the variable when it is loaded, from the
    /// process's own environment, which .NET does not write to.
    /// </summary>
    private static void WaitAsleep() => SetEnvironment("OMP_WAIT_POLICY", "passive", overwrite: 0);

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
            $"{file} is in none of these folders: {string.Join(", ", folders)}. Reference the package libtorch-cpu-{RuntimeId}.");

    private static IEnumerable<string> CandidateFolders(Assembly torchSharp, string? given)
    {
        if (given != null) yield return given;
        // A program started through its own deps.json.
        if (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") is string search)
            foreach (var folder in search.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
                yield return folder;
        // A script that references the libraries of a build.
        var home = Path.GetDirectoryName(torchSharp.Location);
        foreach (var folder in new[] { home, AppContext.BaseDirectory })
        {
            if (string.IsNullOrEmpty(folder)) continue;
            yield return folder;
            yield return Path.Combine(folder, "runtimes", RuntimeId, "native");
        }
        if (string.IsNullOrEmpty(home)) yield break;
        // A script that references the packages: <cache>/torchsharp/<version>/lib/<framework>/TorchSharp.dll.
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
        // A copy that is damaged, or not ours, is replaced.
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
                $"libtorch needs a copy of its library at {copy}, which cannot be written: {error.Message} " +
                "Set XDG_CACHE_HOME to a folder that you may write to.", error);
        }
    }

    private static string CacheFolder() =>
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache
            ? cache
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
}
