using System.Security.Cryptography;

namespace NormFree.Torch.Native;

/// <summary>
/// A copy of TorchSharp's shim that Debian 12 can load: its requirement of <c>GLIBCXX_3.4.32</c> is marked as weak. It lies in the user's cache folder
/// (<c>$XDG_CACHE_HOME/torchsharp-native</c>). No other file is touched.
/// </summary>
internal static class PatchedShim
{
    /// <summary>Writes the copy unless it exists.</summary>
    /// <param name="packaged">The shim of TorchSharp's package.</param>
    /// <returns>The path of the copy, which contains the digest of the original.</returns>
    /// <exception cref="DllNotFoundException">The copy cannot be written.</exception>
    public static string Copy(string packaged)
    {
        var image = File.ReadAllBytes(packaged);
        var digest = Convert.ToHexStringLower(SHA256.HashData(image))[..16];
        ElfSymbolVersions.Weaken(image, "GLIBCXX_3.4.32");
        var copy = Path.Combine(CacheFolder(), "torchsharp-native", digest, Path.GetFileName(packaged));
        // Replaces a damaged or foreign copy.
        if (!File.Exists(copy) || !File.ReadAllBytes(copy).AsSpan().SequenceEqual(image)) Write(copy, image);
        return copy;
    }

    private static void Write(string copy, byte[] image)
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
