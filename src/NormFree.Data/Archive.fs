/// <summary>Opens a folder, zip, tar or tar.gz as a set of files. The content decides what a file is, not its name.</summary>
module NormFree.Data.Archive

open System
open System.IO

let private hasSuffix (suffixes: string list) (path: string) =
    suffixes |> List.exists (fun suffix -> path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

let private gzipSuffixes = [ ".tar.gz"; ".tgz" ]
let private suffixes = ".zip" :: ".tar" :: gzipSuffixes

/// Whether a file is a supported archive, by its content or, if that is damaged, by its name.
let isKnown path =
    hasSuffix suffixes path
    || match Content.ofHead (Content.headOf path) with
       | Content.Zip
       | Content.Tar
       | Content.Gzip -> true
       | _ -> false

/// Whether a file has no random access to the files in it, or is a zip.
let isCompressed path = File.Exists path && Content.ofHead (Content.headOf path) <> Content.Tar

/// <summary>The name of a folder, or of an archive without its extension.</summary>
let nameOf (place: string) =
    let name = string (Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath place)))

    match suffixes |> List.tryFind (fun suffix -> File.Exists place && hasSuffix [ suffix ] name) with
    | Some suffix -> name.Substring(0, name.Length - suffix.Length)
    | None -> name

/// A file of unknown content. It may be a damaged archive, which its reader explains best.
let private openUnknown limits head place =
    if hasSuffix gzipSuffixes place then
        Error(DataError.create place $"it is not a gzip file: {Content.inWords head}" DataError.downloadAgain)
    elif hasSuffix [ ".zip" ] place && head.Length > 0 then
        ZipArchive.openWith limits place
    elif hasSuffix [ ".tar" ] place && head.Length = Content.HeadBytes then
        TarArchive.openWith limits place
    else
        Error(
            DataError.create
                place
                $"it is not a folder, .zip, .tar or .tar.gz: {Content.inWords head}"
                "Give the path of one of these"
        )

let private openFile limits wanted place =
    let head = Content.headOf place

    match Content.ofHead head with
    | Content.Zip -> ZipArchive.openWith limits place
    | Content.Tar -> TarArchive.openWith limits place
    | Content.Gzip -> TarArchive.openCompressed limits wanted place
    | Content.Other(kind, remedy) -> Error(DataError.create place $"it is {kind}" remedy)
    | Content.Unknown -> openUnknown limits head place

/// <summary>Lists a folder, zip, tar or tar.gz. Of a tar.gz, only the wanted files can be read.</summary>
let openWith limits (wanted: string -> bool) (place: string) =
    DataError.guard place (fun () ->
        if Directory.Exists place then
            Folder.openWith limits place
        else
            openFile limits wanted place)

/// <summary>Lists a folder or tar with the files of the tars in it.</summary>
let openNested limits (place: string) =
    DataError.guard place (fun () ->
        if Directory.Exists place then
            let regionOf (set: FileSet) i : NestedTar.Region option =
                let file = Path.Combine(place, set.Files[i])

                // Pipes and devices have no length. Opening a pipe would wait.
                if NestedTar.isTar file && FileInfo(file).Length > 0L then
                    Some { File = file; Offset = 0L; Length = FileInfo(file).Length }
                else
                    None

            Folder.openWith limits place
            |> Result.bind (fun set -> NestedTar.openWith limits (regionOf set) set)
        else
            TarArchive.openNested limits place)
