using System.Buffers.Text;

namespace NormFree.Archives.Tar;

/// <summary>What extended headers (pax or GNU) say about the next entry. The last header wins.</summary>
/// <param name="Name">The name of the entry; null to use the one in its own header.</param>
/// <param name="Length">The length of its content in bytes; null to use the one in its own header.</param>
/// <param name="IsSparse">Whether the archive stores a sparse file without its holes.</param>
/// <param name="SparseName">The real name of a sparse file; the entry has another one.</param>
internal readonly record struct PaxHeaders(string? Name, long? Length, bool IsSparse, string? SparseName)
{
    /// <summary>Adds a record <c>KEY=VALUE</c> of an extended header.</summary>
    public PaxHeaders With(ReadOnlySpan<byte> record)
    {
        if (record.StartsWith("path="u8)) return this with { Name = EntryNames.Decode(record[5..]) };
        if (record.StartsWith("size="u8))
            return Utf8Parser.TryParse(record[5..], out long length, out _) && length >= 0 ? this with { Length = length } : this;
        if (record.StartsWith("GNU.sparse.name="u8)) return this with { IsSparse = true, SparseName = EntryNames.Decode(record[16..]) };
        return record.StartsWith("GNU.sparse."u8) ? this with { IsSparse = true } : this;
    }
}
