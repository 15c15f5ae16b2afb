using System.Buffers.Text;
using System.Text;

namespace NormFree.Archives.Tar;

/// <summary>What headers before a part say of it; of two words about the same thing the later one stands.</summary>
/// <param name="Name">The part's name, where it is not the one in its own header.</param>
/// <param name="Length">The bytes of its content, likewise.</param>
/// <param name="IsSparse">Whether what is stored are only the bytes between a file's holes.</param>
/// <param name="SparseName">Such a file's name: the part has another one.</param>
internal readonly record struct TarWords(string? Name, long? Length, bool IsSparse, string? SparseName)
{
    /// <summary>With what a line of an extended header says: <c>KEY=VALUE</c>.</summary>
    public TarWords With(ReadOnlySpan<byte> line)
    {
        if (line.StartsWith("path="u8)) return this with { Name = Encoding.UTF8.GetString(line[5..]) };
        if (line.StartsWith("size="u8))
            return Utf8Parser.TryParse(line[5..], out long length, out _) && length >= 0 ? this with { Length = length } : this;
        if (line.StartsWith("GNU.sparse.name="u8)) return this with { IsSparse = true, SparseName = Encoding.UTF8.GetString(line[16..]) };
        return line.StartsWith("GNU.sparse."u8) ? this with { IsSparse = true } : this;
    }
}
