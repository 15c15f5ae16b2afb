/// <summary>The files in a folder and its subfolders. Links to folders are followed unless they lead back to a folder that contains them.</summary>
module internal NormFree.Data.Folder

open System
open System.IO
open NormFree.Formats

/// The decoder of file names replaces bytes that are not UTF-8 by this character. Such a name cannot be opened.
[<Literal>]
let private Replacement = '\uFFFD'

let private notUtf8 place (name: string) =
    DataError.create
        $"{place}/{name}"
        "its name is not UTF-8, so it cannot be opened"
        "Rename it, for example with 'convmv -f latin1 -t utf8 --notest'"

let private isLost (entry: FileSystemInfo) = entry.Name.Contains Replacement && not (Path.Exists entry.FullName)

/// The real path of a folder, through a link.
let private realPath (folder: DirectoryInfo) =
    match folder.ResolveLinkTarget true with
    | null -> folder.FullName
    | target -> target.FullName

/// All entries below a folder. `above` are the real paths of this folder and of those that contain it. Entries that are one level too deep are
/// listed, so that the listing rejects them.
let rec private entriesBelow limits (above: string list) (folder: DirectoryInfo) : FileSystemInfo seq =
    seq {
        for entry in folder.EnumerateFileSystemInfos() do
            match entry with
            | :? DirectoryInfo as inner ->
                let real =
                    if isNull inner.LinkTarget then
                        Path.Combine(above.Head, inner.Name)
                    else
                        realPath inner

                if not (List.contains real above) && above.Length <= limits.Depth + 1 then
                    yield inner

                    if not (isLost inner) then
                        yield! entriesBelow limits (real :: above) inner
            | file -> yield file
    }

/// The path of an entry in the set. Folders end in a slash.
let private pathOf (place: string) (entry: FileSystemInfo) =
    let path = Path.GetRelativePath(place, entry.FullName)
    if entry :? DirectoryInfo then path + "/" else path

/// A folder with a lost name hides its files, so it is an error. A file with one is an unreadable file.
let private requireNames place (items: struct (string * FileSystemInfo)[]) =
    items
    |> Array.tryPick (fun struct (path, entry) ->
        if entry :? DirectoryInfo && isLost entry then
            Some(notUtf8 place (path.TrimEnd '/'))
        else
            None)
    |> function
        | Some error -> Error error
        | None -> Ok items

let openWith limits (place: string) =
    let root = DirectoryInfo place

    let read path (entry: FileSystemInfo) =
        if isLost entry then
            Error(notUtf8 place (Path.GetRelativePath(place, entry.FullName)))
        else
            Ok(PlainFile.ReadAllBytes(entry.FullName, limits.EntryBytes))

    entriesBelow limits [ realPath root ] root
    |> Seq.map (fun entry -> pathOf place entry, entry)
    |> Listing.gather place limits
    |> Result.bind (requireNames place)
    |> Result.map (fun items -> Listing.build place items (fun _ -> false) read)
