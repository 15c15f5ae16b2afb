/// <summary>Tars inside a folder or another tar, as ImageNet has them: one tar for all training images, which contains one tar for each class.
/// <c>train/n01440764.tar</c> is listed as the folder <c>train/n01440764/</c>.</summary>
module internal NormFree.Data.NestedTar

open System
open System.IO
open Microsoft.Win32.SafeHandles
open NormFree.Formats
open NormFree.Archives.Tar

/// A tar of all classes inside a folder, and a tar of one class inside it.
[<Literal>]
let private MaxNesting = 3

/// Bytes of a file on the disk.
type Region = { File: string; Offset: int64; Length: int64 }

/// The content of an entry of a tar.
type Entry<'bytes> =
    | Stored of 'bytes
    | Folder
    | Link
    /// A device, a pipe, or an entry of an unknown type.
    | Special

/// The name of a scan's entry, where folders end in a slash, and what it is. `stored` reads a file.
let entryOf (scan: TarScan) (stored: TarScan -> 'bytes) =
    match scan.Kind with
    | TarEntryKind.Folder -> scan.Name.TrimEnd('/') + "/", Folder
    | TarEntryKind.Link -> scan.Name.TrimEnd '/', Link
    | TarEntryKind.Special -> scan.Name.TrimEnd '/', Special
    | _ -> scan.Name, Stored(stored scan)

let private special place =
    DataError.create
        place
        "it is a device, a pipe, or an entry of a type that is not supported"
        "Create the archive again from files"

/// The bytes of an entry. `read` reads those of a file.
let readEntry (read: string -> 'bytes -> Result<byte[], DataError>) path entry =
    match entry with
    | Stored bytes -> read path bytes
    | Folder
    | Link -> Error(Listing.link path)
    | Special -> Error(special path)

let isTar (path: string) = path.EndsWith(".tar", StringComparison.OrdinalIgnoreCase)

let private folderOf (path: string) = path.Substring(0, path.Length - ".tar".Length)

let private outside place name =
    InvalidFileException(place, name, "it is longer than the tar that contains it", DataError.downloadAgain)

/// The entries of a tar at a region of the stream, without its folders.
let rec private filesOf nesting (stream: Stream) (region: Region) (path: string) : (string * Entry<Region>) seq =
    seq {
        stream.Position <- region.Offset
        let scan = TarScan(stream, $"{region.File}, {path}", region.Length)

        while scan.Next() do
            let name, entry = entryOf scan (fun scan -> { region with Offset = scan.Offset; Length = scan.Length })

            match entry with
            | Stored inner when inner.Offset + inner.Length > region.Offset + region.Length ->
                raise (outside region.File name)
            | Stored inner -> yield! expandIn nesting stream inner $"{folderOf path}/{name}"
            | Folder -> ()
            | Link
            | Special -> yield $"{folderOf path}/{name}", entry
    }

/// The files of a region if it is a tar, otherwise the region itself.
and private expandIn nesting stream region path =
    seq {
        stream.Position <- region.Offset

        let isLongEnough = region.Length >= int64 Content.HeadBytes

        if
            isTar path
            && nesting < MaxNesting
            && isLongEnough
            && TarScan.IsTar(ReadOnlySpan(Content.head stream))
        then
            yield! filesOf (nesting + 1) stream region path
        else
            yield path, Stored region
    }

/// <summary>The files of a tar on the disk as entries under a path.</summary>
let expand (path: string) (region: Region) : (string * Entry<Region>) seq =
    seq {
        use stream = File.OpenRead region.File
        yield! expandIn 0 stream region path
    }

/// <summary>Reads a region. The handle stays open as long as the caller keeps it.</summary>
let read limits (handle: SafeFileHandle) path (region: Region) =
    if region.Length > limits.EntryBytes then
        Error(Listing.tooLarge path region.Length limits)
    else
        let bytes = Array.zeroCreate<byte>(int region.Length)
        let mutable count = 0

        while count < bytes.Length do
            match RandomAccess.Read(handle, bytes.AsSpan count, region.Offset + int64 count) with
            | 0 -> raise (EndOfStreamException "the archive was truncated while it was read")
            | read -> count <- count + read

        Ok bytes

/// <summary>A set whose tars are replaced by the files in them. Tars that are not on the disk stay as they are.</summary>
let openWith limits (regionOf: int -> Region option) (set: FileSet) : Result<FileSet, DataError> =
    let entries =
        seq {
            for folder in set.Folders do
                $"{folder}/", Choice1Of2 -1

            for i in 0 .. set.Files.Length - 1 do
                match regionOf i with
                | Some region when isTar set.Files[i] ->
                    for path, inner in expand set.Files[i] region do
                        path, (if inner = Stored region then Choice1Of2 i else Choice2Of2 inner)
                | _ -> set.Files[i], Choice1Of2 i
        }

    // One handle for each file on the disk.
    let handles = Collections.Concurrent.ConcurrentDictionary<string, Lazy<SafeFileHandle>>()
    let handle file = handles.GetOrAdd(file, fun _ -> lazy File.OpenHandle file).Value
    let links = set.Links |> Collections.Generic.HashSet

    let isLink =
        function
        | Choice1Of2 i -> i >= 0 && links.Contains set.Files[i]
        | Choice2Of2(entry: Entry<Region>) -> entry.IsLink

    let readFile path =
        function
        | Choice1Of2 i -> set.Read i
        | Choice2Of2 entry -> readEntry (fun path region -> read limits (handle region.File) path region) path entry

    Listing.gather set.Place limits entries
    |> Result.map (fun items -> Listing.build set.Place items isLink readFile)
