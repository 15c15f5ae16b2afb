using System.Reflection;
using System.Security.Cryptography;
using NormFree.Formats;

namespace NormFree.Zoo;

/// <summary>A kind of file in the zoo.</summary>
public enum ZooFileKind
{
    /// <summary>The packed network, for <see cref="Inference.PackedNetwork"/>.</summary>
    Packed,

    /// <summary>The checkpoint, for <c>normfree train --init</c>.</summary>
    Checkpoint,
}

/// <summary>The files in this assembly.</summary>
internal static class ZooResource
{
    private const string CardSuffix = ".card.json";

    private static readonly Assembly Zoo = typeof(ZooResource).Assembly;

    /// <summary>The names of all networks, sorted.</summary>
    public static string[] Names() =>
        [.. Zoo.GetManifestResourceNames().Where(IsCard).Select(file => file[..^CardSuffix.Length]).Order(StringComparer.Ordinal)];

    private static bool IsCard(string file) => file.EndsWith(CardSuffix, StringComparison.Ordinal);

    /// <summary>The name of a network's card.</summary>
    public static string CardName(string network) => network + CardSuffix;

    /// <summary>The name of a network's file.</summary>
    public static string FileName(string network, ZooFileKind kind) => $"{network}.{kind.ToString().ToLowerInvariant()}.safetensors";

    /// <summary>The bytes of a file in this assembly.</summary>
    public static byte[] Read(string file)
    {
        using var stream = Zoo.GetManifestResourceStream(file)
            ?? throw new InvalidFileException($"zoo:{file}", "assembly", "the file is missing", Reinstall);
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>Throws if bytes are not those that a card describes.</summary>
    /// <exception cref="InvalidFileException">The size or the SHA-256 differs.</exception>
    public static void Require(string file, CardFile described, ReadOnlySpan<byte> bytes)
    {
        var hash = Hash(bytes);
        if (bytes.Length != described.Bytes || hash != described.Sha256)
            throw new InvalidFileException(
                $"zoo:{file}", "content",
                $"it has {bytes.Length} bytes with SHA-256 {hash}, but its card says {described.Bytes} bytes with {described.Sha256}", Reinstall);
    }

    /// <summary>The SHA-256 in hexadecimal, lower case.</summary>
    public static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private const string Reinstall = "Install the package NormFree.Zoo again";
}
