using System.Globalization;
using System.Text;

namespace NormFree.Formats;

/// <summary>Makes foreign text safe to print. Names in files may hold terminal escapes, line feeds or characters that reverse the text around them.</summary>
/// <remarks>
/// Escaped as <c>\u001b</c> or <c>\U000e0001</c>: control characters (C0, DEL, C1), line and paragraph separators, unpaired surrogates, and the
/// invisible format characters, which include all bidirectional controls (U+061C, U+200E, U+200F, U+202A–U+202E, U+2066–U+2069). The joiners
/// U+200C and U+200D stay, because words and emoji need them. Backslashes stay too, so escaping twice changes nothing.
/// </remarks>
public static class Printable
{
    /// <summary>How many names <see cref="List"/> shows.</summary>
    public const int MaxListed = 10;

    /// <summary>The text in one line without characters that act on a terminal.</summary>
    /// <param name="text">Any text.</param>
    public static string Text(string text) => Escape(text, keepLineFeeds: false);

    /// <summary>Like <see cref="Text"/> for text of several lines: line feeds stay.</summary>
    /// <param name="text">Any text.</param>
    public static string Lines(string text) => Escape(text, keepLineFeeds: true);

    /// <summary>The first <see cref="MaxListed"/> names, escaped; then, if there are more, how many more there are.</summary>
    /// <param name="names">Any texts, however many and long: each is cut after 200 characters.</param>
    public static IReadOnlyList<string> List(IReadOnlyCollection<string> names)
    {
        var shown = names.Take(MaxListed).Select(name => Cut(name, 200)).ToList();
        if (names.Count > MaxListed)
            shown.Add($"and {names.Count - MaxListed} more, {names.Count} in all");
        return shown;
    }

    private static string Escape(string text, bool keepLineFeeds)
    {
        int safe = 0;
        while (safe < text.Length && text[safe] is >= ' ' and <= '~')
            safe++;
        if (safe == text.Length)
            return text;
        var escaped = new StringBuilder(text.Length + 16).Append(text, 0, safe);
        Append(escaped, text.AsSpan(safe), keepLineFeeds);
        return escaped.ToString();
    }

    internal static string Cut(ReadOnlySpan<char> name, int maxLength)
    {
        var text = new StringBuilder();
        int length = Math.Min(name.Length, maxLength);
        if (length < name.Length && char.IsHighSurrogate(name[length - 1]))
            length--;
        Append(text, name[..length], keepLineFeeds: false);
        return text.Append(length < name.Length ? "…" : "").ToString();
    }

    private static void Append(StringBuilder escaped, ReadOnlySpan<char> text, bool keepLineFeeds)
    {
        while (!text.IsEmpty)
        {
            bool whole = Rune.DecodeFromUtf16(text, out var rune, out int count) == System.Buffers.OperationStatus.Done;
            if (!whole)
                escaped.Append(CultureInfo.InvariantCulture, $"\\u{(int)text[0]:x4}");
            else if ((keepLineFeeds && rune.Value == '\n') || IsHarmless(rune))
                escaped.Append(text[..count]);
            else if (rune.IsBmp)
                escaped.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}");
            else
                escaped.Append(CultureInfo.InvariantCulture, $"\\U{rune.Value:x8}");
            text = text[(whole ? count : 1)..];
        }
    }

    private static bool IsHarmless(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.Control or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => false,
        UnicodeCategory.Format => rune.Value is 0x200C or 0x200D,
        _ => true,
    };
}

/// <summary>Quotes names for error messages.</summary>
public static class Quoted
{
    private const int MaxLength = 80;

    /// <summary>The name in quotes, escaped like <see cref="Printable.Text"/> and cut after 80 characters.</summary>
    /// <param name="name">Any text.</param>
    public static string Name(ReadOnlySpan<char> name) => $"'{Printable.Cut(name, MaxLength)}'";

    /// <summary>The text as one argument of a command in a shell, in single quotes if it needs them.</summary>
    /// <param name="argument">Any text, such as a path.</param>
    public static string Argument(string argument) =>
        argument.Length > 0 && argument.All(c => char.IsAsciiLetterOrDigit(c) || c is '/' or '.' or '_' or '-')
            ? argument
            : $"'{argument.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
