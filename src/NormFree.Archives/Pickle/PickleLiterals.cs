using System.Globalization;
using System.Numerics;
using System.Text;

namespace NormFree.Archives.Pickle;

/// <summary>Parses the text forms of protocol 0: decimal numbers and Python's string escapes.</summary>
internal static class PickleLiterals
{
    /// <summary>The limit for numbers: parsing a decimal takes quadratic time.</summary>
    public const int MaxNumberBytes = 512;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Parses a decimal integer, with or without Python 2's suffix <c>L</c>; null if it is not one.</summary>
    public static BigInteger? Integer(ReadOnlySpan<byte> line)
    {
        if (line.EndsWith("L"u8))
            line = line[..^1];
        return line.Length <= MaxNumberBytes
            && BigInteger.TryParse(Encoding.Latin1.GetString(line), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            ? value
            : null;
    }

    /// <summary>Parses a float as written by Python's <c>repr</c>; null if it is not one.</summary>
    public static double? Real(ReadOnlySpan<byte> line)
    {
        if (line.Length > MaxNumberBytes)
            return null;
        string text = Encoding.Latin1.GetString(line);
        return text switch
        {
            "inf" => double.PositiveInfinity,
            "-inf" => double.NegativeInfinity,
            "nan" => double.NaN,
            _ => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? value : null,
        };
    }

    /// <summary>Decodes UTF-8; null if it is not valid.</summary>
    public static string? Unicode(ReadOnlySpan<byte> utf8)
    {
        try
        {
            return Utf8.GetString(utf8);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    /// <summary>Decodes Python's <c>raw-unicode-escape</c>, Latin-1 with <c>\uXXXX</c> and <c>\UXXXXXXXX</c>; null if an escape is invalid.</summary>
    public static string? Escaped(ReadOnlySpan<byte> line)
    {
        var text = new StringBuilder(line.Length);
        for (int i = 0; i < line.Length; i++)
        {
            if (line[i] != '\\' || i + 1 == line.Length)
            {
                text.Append((char)line[i]);
                continue;
            }
            if (line[i + 1] is not ((byte)'u' or (byte)'U'))
            {
                // A second backslash starts no escape.
                text.Append('\\').Append((char)line[++i]);
                continue;
            }
            int digits = line[i + 1] == 'u' ? 4 : 8;
            if (i + 2 + digits > line.Length || Hex(line.Slice(i + 2, digits)) is not { } code || code > 0x10FFFF)
                return null;
            if (code > 0xFFFF)
                text.Append(char.ConvertFromUtf32((int)code));
            else
                text.Append((char)code);
            i += 1 + digits;
        }
        return text.ToString();
    }

    /// <summary>Parses a quoted byte string such as <c>'a\x00b'</c>; null if it is not one.</summary>
    public static byte[]? Quoted(ReadOnlySpan<byte> line)
    {
        line = line.Trim(" \t\r"u8);
        if (line.Length < 2 || line[0] != line[^1] || line[0] is not ((byte)'\'' or (byte)'"'))
            return null;
        line = line[1..^1];
        var bytes = new List<byte>(line.Length);
        for (int i = 0; i < line.Length; i++)
        {
            if (line[i] != '\\')
            {
                bytes.Add(line[i]);
                continue;
            }
            if (++i == line.Length)
                return null;
            if (line[i] == 'x')
            {
                if (i + 3 > line.Length || Hex(line.Slice(i + 1, 2)) is not { } code)
                    return null;
                bytes.Add((byte)code);
                i += 2;
            }
            else if ("nrtabfv\\'\"".IndexOf((char)line[i]) is var index and >= 0)
                bytes.Add((byte)"\n\r\t\a\b\f\v\\'\""[index]);
            else if (line[i] is >= (byte)'0' and <= (byte)'7')
            {
                int code = 0;
                int end = Math.Min(i + 3, line.Length);
                for (; i < end && line[i] is >= (byte)'0' and <= (byte)'7'; i++)
                    code = code * 8 + (line[i] - '0');
                bytes.Add((byte)code);
                i--;
            }
            else
                return null;
        }
        return [.. bytes];
    }

    private static uint? Hex(ReadOnlySpan<byte> digits) =>
        uint.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint code) ? code : null;
}
