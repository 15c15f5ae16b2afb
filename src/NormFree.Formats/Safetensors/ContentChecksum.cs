using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace NormFree.Formats.Safetensors;

/// <summary>The checksum of a file's metadata and tensors: SHA-256 over length-prefixed parts.</summary>
/// <remarks>
/// The parts in the order of the file: key and value of each metadata entry except the checksum's own; then for each tensor its name, the name of
/// its type, its shape (8 bytes per axis) and its bytes. Lengths take 8 bytes. All numbers are little-endian. Padding is not covered.
/// </remarks>
internal sealed class ContentChecksum : IDisposable
{
    /// <summary>The metadata key of the checksum.</summary>
    public const string Key = "checksum";

    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Adds a metadata entry.</summary>
    public void Add(string key, string value)
    {
        if (key == Key) return;
        Add(Encoding.UTF8.GetBytes(key));
        Add(Encoding.UTF8.GetBytes(value));
    }

    /// <summary>Adds the header of a tensor; its bytes must follow through <see cref="AddBytes"/>.</summary>
    public void Add(TensorEntry entry)
    {
        Add(Encoding.UTF8.GetBytes(entry.Name));
        Add(Encoding.UTF8.GetBytes(entry.DType.Name()));
        AddLength(entry.Shape.Count * sizeof(long));
        foreach (long size in entry.Shape) AddLength(size);
        AddLength(entry.Bytes);
    }

    /// <summary>Adds bytes of a tensor.</summary>
    public void AddBytes(ReadOnlySpan<byte> bytes) => hash.AppendData(bytes);

    /// <summary>Returns the checksum of everything added, for example <c>sha256:2c26…</c>.</summary>
    public string Finish() => "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset());

    /// <inheritdoc/>
    public void Dispose() => hash.Dispose();

    private void Add(ReadOnlySpan<byte> part)
    {
        AddLength(part.Length);
        hash.AppendData(part);
    }

    private void AddLength(long length)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, length);
        hash.AppendData(bytes);
    }
}
