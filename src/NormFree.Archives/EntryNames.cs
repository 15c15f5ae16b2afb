using System.Text;

namespace NormFree.Archives;

/// <summary>Decodes names of archive entries. Names that are not UTF-8 are decoded byte by byte, so that different names stay different.</summary>
/// <remarks>
/// Tar archives do not state an encoding. Zip archives state UTF-8 by a flag, which many programs omit; without it, PKWARE's APPNOTE (appendix D)
/// prescribes code page 437.
/// </remarks>
public sealed class EntryNames : Encoding
{
    private static readonly Encoding codePage437 = CodePagesEncodingProvider.Instance.GetEncoding(437)!;

    private EntryNames() { }

    /// <summary>The encoding of zip entries without the UTF-8 flag: UTF-8 if the bytes are valid, otherwise code page 437.</summary>
    public static EntryNames Zip { get; } = new();

    /// <summary>Decodes a name of a tar entry: UTF-8 if the bytes are valid, otherwise Latin-1.</summary>
    public static string Decode(ReadOnlySpan<byte> name) => (IsUtf8(name) ? UTF8 : Latin1).GetString(name);

    /// <inheritdoc/>
    public override int GetByteCount(char[] chars, int index, int count) => UTF8.GetByteCount(chars, index, count);

    /// <inheritdoc/>
    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        UTF8.GetBytes(chars, charIndex, charCount, bytes, byteIndex);

    /// <inheritdoc/>
    public override int GetCharCount(byte[] bytes, int index, int count) => Choose(bytes, index, count).GetCharCount(bytes, index, count);

    /// <inheritdoc/>
    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex) =>
        Choose(bytes, byteIndex, byteCount).GetChars(bytes, byteIndex, byteCount, chars, charIndex);

    /// <inheritdoc/>
    public override int GetMaxByteCount(int charCount) => UTF8.GetMaxByteCount(charCount);

    /// <inheritdoc/>
    public override int GetMaxCharCount(int byteCount) => UTF8.GetMaxCharCount(byteCount);

    private static Encoding Choose(byte[] bytes, int index, int count) => IsUtf8(bytes.AsSpan(index, count)) ? UTF8 : codePage437;

    private static bool IsUtf8(ReadOnlySpan<byte> name) => System.Text.Unicode.Utf8.IsValid(name);
}
