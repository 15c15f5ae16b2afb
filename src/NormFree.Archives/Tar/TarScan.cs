using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;

namespace NormFree.Archives.Tar;

/// <summary>What an entry of a tar archive is.</summary>
public enum TarEntryKind
{
    /// <summary>A file with its content.</summary>
    File,

    /// <summary>A folder.</summary>
    Folder,

    /// <summary>A symbolic or hard link.</summary>
    Link,

    /// <summary>A device, a pipe, a part of a file that continues on another volume, or of a type that no standard defines.</summary>
    Special,
}

/// <summary>Reads the entries of a tar archive (v7, ustar, pax or GNU) in order.</summary>
/// <remarks>
/// Written by hand because System.Formats.Tar (.NET 10) allocates three times the length that an extended header claims (6 GB for a file of 3 kB)
/// and returns the sparse files of pax archives without their holes. Here no memory is allocated for content that is not there, an extended header
/// may have 64 KiB, and sparse files are errors. Names are returned unchanged; they must not be used as paths.
/// </remarks>
/// <example><code>
/// var scan = new TarScan(stream, "photos.tar");
/// while (scan.Next())
///     if (scan.Kind == TarEntryKind.File) Show(scan.Name, scan.Content());
/// </code></example>
public sealed class TarScan
{
    /// <summary>The limit for a long name or an extended header.</summary>
    private const int MaxHeaderBytes = 64 * 1024;

    private const int ChunkBytes = 64 * 1024;

    /// <summary>How many blocks after the end mark are searched for another archive. Programs pad archives to at most as many.</summary>
    private const int BlocksAfterEnd = 2048;

    private readonly Stream stream;
    private readonly string file;
    private readonly long limit;
    private readonly byte[] block = new byte[TarHeader.Bytes];
    private byte[] chunk = [];
    private long position, end;

    /// <summary>Starts at the position of the stream.</summary>
    /// <param name="stream">The archive. It need not be seekable.</param>
    /// <param name="file">The name of the archive in errors.</param>
    /// <param name="length">The length of the archive in bytes, if other data follow in the stream.</param>
    public TarScan(Stream stream, string file, long length = long.MaxValue)
    {
        this.stream = stream;
        this.file = file;
        position = end = stream.CanSeek ? stream.Position : 0;
        limit = length > long.MaxValue - position ? long.MaxValue : position + length;
    }

    /// <summary>The name of the current entry.</summary>
    public string Name { get; private set; } = "";

    /// <summary>What the current entry is.</summary>
    public TarEntryKind Kind { get; private set; }

    /// <summary>The length of the content in bytes, as claimed by the archive.</summary>
    public long Length { get; private set; }

    /// <summary>The offset of the content in the archive.</summary>
    public long Offset { get; private set; }

    /// <summary>Whether a file that starts with these bytes is a tar archive. 512 bytes are enough.</summary>
    public static bool IsTar(ReadOnlySpan<byte> start) =>
        start.Length >= TarHeader.Bytes && new TarHeader(start[..TarHeader.Bytes]) is { IsZero: false, IsValid: true };

    /// <summary>Moves to the next file, folder, link or special entry, and skips labels and headers.</summary>
    /// <returns>False at the end mark of the archive.</returns>
    /// <exception cref="InvalidFileException">The archive is damaged, ends without an end mark, or another one follows.</exception>
    public bool Next()
    {
        PaxHeaders extended = default;
        while (true)
        {
            SkipTo(end);
            long at = position;
            ReadExactly(block, "the archive ends before its end mark");
            var header = new TarHeader(block);
            if (header.IsZero)
            {
                RequireLast();
                return false;
            }
            if (!header.IsValid || header.Length < 0) Fail(at, "expected a tar header");
            Begin(header.Type is >= '1' and <= '6' ? 0 : extended.Length ?? header.Length, at);
            switch (header.Type)
            {
                case 'x':
                    extended = ReadExtended(extended);
                    break;
                case 'L':
                    extended = extended with { Name = EntryNames.Decode(HeaderContent()).TrimEnd('\0') };
                    break;
                case 'g' or 'K':
                    // Global headers and long link targets keep the extended headers of the next entry.
                    break;
                case 'V' or 'D' or 'N' or 'X' or 'A':
                    // Labels and lists of folders by GNU, extended headers by Solaris.
                    extended = default;
                    break;
                default:
                    Name = extended.Name ?? header.Name;
                    if (extended.IsSparse || header.Type == 'S') FailSparse(extended.SparseName ?? Name, at);
                    Kind = KindOf(header.Type, Name);
                    return true;
            }
        }
    }

    /// <summary>Reads the content of the current entry.</summary>
    /// <exception cref="InvalidFileException">The archive ends within the content, or the content is longer than an array can be.</exception>
    public byte[] Content()
    {
        if (Length > Array.MaxLength) Fail(Offset, $"the content of {Length} bytes does not fit into one array");
        if (Length <= ChunkBytes)
        {
            byte[] small = new byte[Length];
            ReadExactly(small, "the archive ends within a file");
            return small;
        }
        using var content = new MemoryStream();
        chunk = chunk.Length > 0 ? chunk : new byte[ChunkBytes];
        while (position < Offset + Length)
        {
            var part = chunk.AsSpan(0, (int)Math.Min(ChunkBytes, Offset + Length - position));
            ReadExactly(part, "the archive ends within a file");
            content.Write(part);
        }
        return content.ToArray();
    }

    private void Begin(long length, long at)
    {
        if (length > long.MaxValue / 2 - position) Fail(at, $"an entry of {length} bytes is longer than any file");
        (Offset, Length) = (position, length);
        end = position + (length + TarHeader.Bytes - 1) / TarHeader.Bytes * TarHeader.Bytes;
    }

    private static TarEntryKind KindOf(char type, string name) => type switch
    {
        '1' or '2' => TarEntryKind.Link,
        '5' => TarEntryKind.Folder,
        '0' or '\0' or '7' => name.EndsWith('/') ? TarEntryKind.Folder : TarEntryKind.File,
        _ => TarEntryKind.Special,
    };

    /// <summary>Rejects an archive that another one follows, as <c>cat</c> joins them: tar programs ignore its files without a word.</summary>
    private void RequireLast()
    {
        for (int i = 0; i < BlocksAfterEnd && position <= limit - TarHeader.Bytes; i++)
        {
            long at = position;
            int read = stream.ReadAtLeast(block, block.Length, throwOnEndOfStream: false);
            position += read;
            if (read < block.Length) return;
            var header = new TarHeader(block);
            if (header.IsZero) continue;
            if (header.IsValid)
                InvalidFileException.Throw(file, $"byte {at}", "more files follow the end mark of the archive",
                    "Unpack it with 'tar --ignore-zeros -xf', and create one archive of all files");
            return;
        }
    }

    private byte[] HeaderContent()
    {
        if (Length > MaxHeaderBytes) Fail(Offset, $"an extended header has {Length} bytes; the limit is {MaxHeaderBytes}");
        byte[] content = new byte[Length];
        ReadExactly(content, "the archive ends within an extended header");
        return content;
    }

    /// <summary>Reads an extended header (POSIX.1-2001): records "LENGTH KEY=VALUE\n" whose length counts the whole record.</summary>
    private PaxHeaders ReadExtended(PaxHeaders extended)
    {
        ReadOnlySpan<byte> rest = HeaderContent();
        while (rest.Length > 0)
        {
            if (!Utf8Parser.TryParse(rest, out int size, out int digits) || size <= digits + 1 || size > rest.Length || rest[size - 1] != '\n')
                Fail(Offset, "the extended header is invalid");
            extended = extended.With(rest[(digits + 1)..(size - 1)]);
            rest = rest[size..];
        }
        return extended;
    }

    private void SkipTo(long target)
    {
        if (stream.CanSeek)
        {
            // Streams in memory refuse positions of 2 GiB and more.
            if (target > stream.Length) Fail(stream.Length, "the archive ends within a file");
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

    /// <summary>Rejects a sparse file: the archive stores only the bytes between its holes.</summary>
    [DoesNotReturn]
    private void FailSparse(string name, long at) => InvalidFileException.Throw(
        file,
        $"byte {at}",
        $"{Quoted.Name(name)} is stored as a sparse file, which is not supported",
        "Create the archive again without --sparse (bsdtar: with --no-read-sparse)");

    [DoesNotReturn]
    private void Fail(long at, string what) => InvalidFileException.Throw(file, $"byte {at}", what, Remedy.DownloadAgain);
}
