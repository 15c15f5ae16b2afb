using System.Reflection;
using System.Runtime.InteropServices;

namespace NormFree.Torch.Native;

/// <summary>The folders in which native libraries of NuGet packages lie, and the error if one is missing.</summary>
internal static class NativeFolders
{
    /// <summary>The platforms for which TorchSharp and libtorch are packaged.</summary>
    private static readonly string[] Supported = ["linux-x64", "win-x64", "osx-arm64"];

    /// <summary>This platform's name in NuGet packages, for example <c>linux-x64</c>.</summary>
    private static readonly string RuntimeId =
        (OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux")
        + "-" + RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant();

    /// <summary>Whether libtorch is packaged for this platform.</summary>
    public static bool IsSupported => Supported.Contains(RuntimeId);

    /// <summary>The existing folders that may contain libtorch or TorchSharp's shim, the most specific first.</summary>
    /// <param name="given">A folder to search first, or null.</param>
    public static string[] Find(string? given) => Candidates(Assembly.Load("TorchSharp"), given).Where(Directory.Exists).Distinct().ToArray();

    /// <summary>The path of a library.</summary>
    /// <exception cref="DllNotFoundException">No folder contains it.</exception>
    public static string Locate(string file, string[] folders) =>
        folders.Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists) ?? throw Missing(file, folders);

    /// <summary>The error for a library that is missing. It names the remedy.</summary>
    public static DllNotFoundException Missing(string file, string[] folders)
    {
        if (!IsSupported)
            return new($"{file} does not exist for {RuntimeId}: libtorch, which training needs, is packaged for {string.Join(", ", Supported)}. "
                + "Packed networks run everywhere with NormFree.Inference.");
        var remedy = OperatingSystem.IsWindows() ? " Libraries that are there but cannot be loaded need the Microsoft Visual C++ Redistributable." : "";
        return new($"{file} was not found or cannot be loaded. Searched: {string.Join(", ", folders)}. Reference the package libtorch-cpu-{RuntimeId}, "
            + $"which NormFree.Torch depends on, or publish for this platform: dotnet publish -r {RuntimeId}.{remedy}");
    }

    private static IEnumerable<string> Candidates(Assembly torchSharp, string? given)
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
}
