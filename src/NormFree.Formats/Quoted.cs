using System.Text;

namespace NormFree.Formats;

/// <summary>Names that come out of a file, made fit for a one-line message.</summary>
public static class Quoted
{
    private const int Longest = 80;

    /// <summary>The name in quotes, with control characters shown as a question mark and a long tail cut off.</summary>
    /// <param name="name">Any text.</param>
    public static string Name(ReadOnlySpan<char> name)
    {
        var text = new StringBuilder("'");
        foreach (char c in name[..Math.Min(name.Length, Longest)])
            text.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        return text.Append(name.Length > Longest ? "…'" : "'").ToString();
    }
}
