/// <summary>The files in a tar or tar.gz.</summary>
module internal NormFree.Data.TarArchive

open System
open System.IO
open System.IO.Compression
open Microsoft.Win32.SafeHandles
open NormFree.Formats
open NormFree.Archives.Tar

/// The content of an entry.
type private Entry<'bytes> =
    | Stored of 'bytes
    | Folder
    | Link

/// The named entries of a tar. `stored` reads the current file of the scan.
let private entries (scan: TarScan) (stored: TarScan -> 'bytes) =
    Seq.initInfinite ignore
    |> Seq.takeWhile scan.Next
    |> Seq.map (fun () ->
        match scan.Kind with
        | TarEntryKind.Folder -> scan.Name.TrimEnd('/') + "/", Folder
        | TarEntryKind.Link -> scan.Name.TrimEnd '/', Link
        | _ -> scan.Name, Stored(stored scan))

let private build
    place
    (items: struct (string * Entry<'bytes>)[])
    (read: string -> 'bytes -> Result<byte[], DataError>)
    =
    Listing.build place items _.IsLink (fun path entry ->
        match entry with
        | Stored bytes -> read path bytes
        | Folder
        | Link -> Error(Listing.link path))

let private readAt (handle: SafeFileHandle) (bytes: byte[]) (offset: int64) =
    let mutable count = 0

    while count < bytes.Length do
        match RandomAccess.Read(handle, bytes.AsSpan count, offset + int64 count) with
        | 0 -> raise (EndOfStreamException "the archive was truncated while it was read")
        | read -> count <- count + read

/// <summary>A tar. Files are read at their offsets.</summary>
let openWith limits place =
    let read (handle: SafeFileHandle) path struct (offset: int64, length: int64) =
        if length > limits.EntryBytes then
            Error(Listing.tooLarge path length limits)
        else
            let bytes = Array.zeroCreate<byte>(int length)
            readAt handle bytes offset
            Ok bytes

    use stream = File.OpenRead place

    entries (TarScan(stream, place)) (fun scan -> struct (scan.Offset, scan.Length))
    |> Listing.gather place limits
    // The handle stays open as long as the set is referenced. Reads at offsets need no lock.
    |> Result.map (fun items -> build place items (read (File.OpenHandle place)))

let private tooLargeForMemory place =
    InvalidFileException(
        place,
        "its files",
        "they are too large to keep in memory",
        "Decompress it to a .tar with gunzip"
    )

/// The bytes of the wanted files, up to the limit on their total.
let private keep limits wanted place =
    let mutable total = 0L

    fun (scan: TarScan) ->
        if wanted scan.Name then
            total <- total + scan.Length

            if scan.Length > limits.EntryBytes || total > limits.MemoryBytes then
                raise (tooLargeForMemory place)

            scan.Content()
        else
            [||]

/// <summary>A tar.gz. It has no random access, so the wanted files are kept in memory. All links are listed: a link may replace a
/// folder.</summary>
let openCompressed limits wanted place =
    use file = File.OpenRead place
    use decompressed = new GZipStream(file, CompressionMode.Decompress)

    let bomb total =
        let error = Listing.tooDense place total file.Length limits
        InvalidFileException(place, "its content", error.Problem, error.Remedy) :> exn

    use stream = new LimitedStream(decompressed, max (1L <<< 20) (limits.Ratio * file.Length), bomb)

    let listed =
        entries (TarScan(stream, place)) (keep limits wanted place)
        |> Listing.gather place limits
        |> Result.map (Array.filter (fun struct (path, entry) -> path.EndsWith '/' || entry.IsLink || wanted path))

    // The checksum of a gzip is at its end.
    if listed.IsOk then
        stream.CopyTo Stream.Null

    listed |> Result.map (fun items -> build place items (fun _ bytes -> Ok bytes))
