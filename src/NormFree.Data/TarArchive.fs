/// <summary>The files in a tar or tar.gz.</summary>
module internal NormFree.Data.TarArchive

open System
open System.IO
open System.IO.Compression
open Microsoft.Win32.SafeHandles
open NormFree.Formats
open NormFree.Archives.Tar

/// What an archive has under a name.
type private Entry<'bytes> =
    | Stored of 'bytes
    | Folder
    | Link

/// The parts of a tar by name; `stored` sees each file while the scan stands on it.
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
        | 0 -> raise (EndOfStreamException "the archive became shorter while it was read")
        | got -> count <- count + got

/// <summary>A tar: its files are read where they lie.</summary>
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
    // The handle stays open as long as someone holds the set; reads name their own offsets, so they need no lock.
    |> Result.map (fun items -> build place items (read (File.OpenHandle place)))

let private tooLargeForMemory place =
    InvalidFileException(
        place,
        "its files",
        "they are too large to be read without unpacking them",
        "Use the tar: gunzip it"
    )

/// The bytes of the wanted files, while their sum is within the limit.
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

/// <summary>A tar.gz: it cannot be read at an offset, so that the files whose path is wanted are kept in memory. Links are listed in any case: one
/// may stand for a whole folder.</summary>
let openPacked limits wanted place =
    use file = File.OpenRead place
    use unpacked = new GZipStream(file, CompressionMode.Decompress)

    let bomb total =
        let error = Listing.tooDense place total file.Length limits
        InvalidFileException(place, "its whole", error.Problem, error.WayOut) :> exn

    use stream = new LimitedStream(unpacked, max (1L <<< 20) (limits.Ratio * file.Length), bomb)

    let listed =
        entries (TarScan(stream, place)) (keep limits wanted place)
        |> Listing.gather place limits
        |> Result.map (Array.filter (fun struct (path, entry) -> path.EndsWith '/' || entry.IsLink || wanted path))

    // Only at its end does the gzip tell whether its bytes are those that were packed.
    if listed.IsOk then
        stream.CopyTo Stream.Null

    listed |> Result.map (fun items -> build place items (fun _ bytes -> Ok bytes))
