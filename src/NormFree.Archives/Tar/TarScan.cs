using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace NormFree.Archives.Tar;

/// <summary>Walks over the parts of a tar archive (v7, ustar, pax or GNU), in the order in which they lie.</summary>
/// <remarks>
/// What an archive says of itself is not believed: nothing is allocated for a length before its bytes are there, names and extended headers have a
/// limit, and each header's sum is checked. Names are given as they are; they are never used as paths.
/// </remarks>
/// <example><code>
/// var scan = new TarScan(stream, "photos.tar");
/// while (scan.Next())
///     if (scan.Kind == TarPart.File) Show(scan.Name, scan.Content());
/// </code></example>
public sealed class TarScan
{
    /// <summary>Bytes of a long name or of an extended header.</summary>
    private const int MaxHeaderBytes = 64 * 1024;

    private const int ChunkBytes = 64 * 1024;
    private readonly Stream stream;
    private readonly string file;
    private readonly byte[] block = new byte[TarHeader.Bytes];
    private byte[] chunk = [];
    private long position, end;

    /// <summary>Begins at the stream's position.</summary>
    /// <param name="stream">The archive. It need not be able to seek.</param>
    /// <param name="file">The name that errors give to it.</param>
    public TarScan(Stream stream, string file)
    {
        this.stream = stream;
        this.file = file;
        position = end = stream.CanSeek ? stream.Position : 0;
    }

    /// <summary>The part's name in the archive.</summary>
    public string Name { get; private set; } = "";

    /// <summary>What the part is.</summary>
    public TarPart Kind { get; private set; }

    /// <summary>Bytes of the part's content, as the archive states it.</summary>
    public long Length { get; private set; }

    /// <summary>Where the content begins in the archive, in bytes.</summary>
    public long Offset { get; private set; }

    /// <summary>Goes to the next file, folder or link, past all else.</summary>
    /// <returns>False at the archive's end mark.</returns>
    /// <exception cref="InvalidFileException">The archive is damaged, or ends without its mark.</exception>
    public bool Next()
    {
        TarWords words = default;
        while (true)
        {
            SkipTo(end);
            long at = position;
            ReadExactly(block, "the archive ends before its end mark");
            var header = new TarHeader(block);
            if (header.IsZero) return false;
            if (!header.IsSound || header.Length < 0) Fail(at, "there is no header of a tar archive");
            Begin(header.Type is >= '1' and <= '6' ? 0 : words.Length ?? header.Length, at);
            switch (header.Type)
            {
                case 'x':
                    words = Extended(words);
                    break;
                case 'L':
                    words = words with { Name = Encoding.UTF8.GetString(HeaderContent()).TrimEnd('\0') };
                    break;
                case '0' or '\0' or '7' or '1' or '2' or '5' or 'S':
                    Name = words.Name ?? header.Name;
                    if (words.IsSparse || header.Type == 'S') FailSparse(words.SparseName ?? Name, at);
                    Kind = KindOf(header.Type, Name);
                    return true;
                default:
                    // Global headers, names of links, devices, pipes and the like. What is said of the part behind them stays.
                    words = header.Type is 'g' or 'K' ? words : default;
                    break;
            }
        }
    }

    /// <summary>The bytes of the part's content.</summary>
    /// <exception cref="InvalidFileException">The archive ends within it, or it is longer than an array may be.</exception>
    public byte[] Content()
    {
        if (Length > Array.MaxLength) Fail(Offset, $"{Length} bytes are more than can be read at once");
        if (Length <= ChunkBytes)
        {
            byte[] small = new byte[Length];
            ReadExactly(small, "the archive ends within the file");
            return small;
        }
        using var content = new MemoryStream();
        chunk = chunk.Length > 0 ? chunk : new byte[ChunkBytes];
        while (position < Offset + Length)
        {
            var part = chunk.AsSpan(0, (int)Math.Min(ChunkBytes, Offset + Length - position));
            ReadExactly(part, "the archive ends within the file");
            content.Write(part);
        }
        return content.ToArray();
    }

    private void Begin(long length, long at)
    {
        if (length > long.MaxValue / 2 - position) Fail(at, $"a part of {length} bytes reaches past the end of any file");
        (Offset, Length) = (position, length);
        end = position + (length + TarHeader.Bytes - 1) / TarHeader.Bytes * TarHeader.Bytes;
    }

    private static TarPart KindOf(char type, string name) => type switch
    {
        '1' or '2' => TarPart.Link,
        '5' => TarPart.Folder,
        _ => name.EndsWith('/') ? TarPart.Folder : TarPart.File,
    };

    private byte[] HeaderContent()
    {
        if (Length > MaxHeaderBytes) Fail(Offset, $"a name or extended header has {Length} bytes, more than {MaxHeaderBytes}");
        byte[] content = new byte[Length];
        ReadExactly(content, "the archive ends within an extended header");
        return content;
    }

    /// <summary>What an extended header (POSIX.1-2001) says: lines of "LENGTH KEY=VALUE\n", the length being the whole line's.</summary>
    private TarWords Extended(TarWords words)
    {
        ReadOnlySpan<byte> rest = HeaderContent();
        while (rest.Length > 0)
        {
            if (!Utf8Parser.TryParse(rest, out int size, out int digits) || size <= digits + 1 || size > rest.Length || rest[size - 1] != '\n')
                Fail(Offset, "there is no extended header of a tar archive");
            words = words.With(rest[(digits + 1)..(size - 1)]);
            rest = rest[size..];
        }
        return words;
    }

    private void SkipTo(long target)
    {
        if (stream.CanSeek)
        {
            position = stream.Position = target;
            return;
        }
        chunk = chunk.Length > 0 ? chunk : new byte[ChunkBytes];
        while (position < target) ReadExactly(chunk.AsSpan(0, (int)Math.Min(ChunkBytes, target - position)), "the archive ends within a file");
    }

    private void ReadExactly(Span<byte> bytes, string problem)
    {
        int read = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        position += read;
        if (read < bytes.Length) Fail(position, problem);
    }

    /// <summary>What is stored of such a file is not its bytes but those between its holes.</summary>
    [DoesNotReturn]
    private void FailSparse(string name, long at) => InvalidFileException.Throw(
        file,
        $"byte {at}",
        $"{Quoted.Name(name)} is stored as a sparse file, which is not read",
        "Pack the archive again without --sparse (bsdtar: with --no-read-sparse)");

    [DoesNotReturn]
    private void Fail(long at, string what) => InvalidFileException.Throw(file, $"byte {at}", what, WayOut.FetchAgain);
}
