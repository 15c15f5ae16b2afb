/// <summary>Opens a folder, zip, tar or tar.gz as a set of files.</summary>
module NormFree.Data.Archive

open System
open System.IO

let private hasSuffix (suffixes: string list) (path: string) =
    suffixes |> List.exists (fun suffix -> path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

/// Whether a path has the extension of a supported archive.
let isKnown path = hasSuffix [ ".zip"; ".tar"; ".tar.gz"; ".tgz" ] path

/// <summary>Lists a folder, zip, tar or tar.gz. Of a tar.gz, only the wanted files are listed.</summary>
let openWith limits (wanted: string -> bool) (place: string) =
    DataError.guard place (fun () ->
        if Directory.Exists place then
            Folder.openWith limits place
        elif hasSuffix [ ".zip" ] place then
            ZipArchive.openWith limits place
        elif hasSuffix [ ".tar" ] place then
            TarArchive.openWith limits place
        elif hasSuffix [ ".tar.gz"; ".tgz" ] place then
            TarArchive.openCompressed limits wanted place
        elif File.Exists place then
            Error(DataError.create place "it is not a folder, .zip, .tar or .tar.gz" "Give the path of one of these")
        else
            raise (FileNotFoundException()))
