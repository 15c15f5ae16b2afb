using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace NormFree.Formats.Safetensors;

/// <summary>The checksum of what a file says: SHA-256 of its texts and tensors, each part led by its length.</summary>
/// <remarks>
/// Parts, in the file's order: the key and value of every text but the checksum's own; then of every tensor its name, its type's name, its shape
/// (8 bytes a side, little-endian) and its bytes. A part's length takes 8 bytes, little-endian. Padding has no say.
/// </remarks>
internal sealed class ContentChecksum : IDisposable
{
    /// <summary>The key under which it stands among the texts.</summary>
    public const string Key = "checksum";

    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Takes a text of the metadata.</summary>
    public void Add(string key, string value)
    {
        if (key == Key) return;
        Add(Encoding.UTF8.GetBytes(key));
        Add(Encoding.UTF8.GetBytes(value));
    }

    /// <summary>Takes what the header says of a tensor; its bytes follow by <see cref="AddBytes"/>.</summary>
    public void Add(TensorEntry entry)
    {
        Add(Encoding.UTF8.GetBytes(entry.Name));
        Add(Encoding.UTF8.GetBytes(entry.DType.Name()));
        AddLength(entry.Shape.Count * sizeof(long));
        foreach (long side in entry.Shape) AddLength(side);
        AddLength(entry.Bytes);
    }

    /// <summary>Takes some of a tensor's bytes.</summary>
    public void AddBytes(ReadOnlySpan<byte> bytes) => hash.AppendData(bytes);

    /// <summary>The checksum of all that was taken.</summary>
    public string Text() => "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset());

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
