/// <summary>Sets of files of whatever kind: a folder, a zip, a tar or a tar.gz.</summary>
module NormFree.Data.Archive

open System
open System.IO

let private hasSuffix (suffixes: string list) (path: string) =
    suffixes |> List.exists (fun suffix -> path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

/// Whether a path's name is that of an archive that `openWith` knows.
let isKnown path = hasSuffix [ ".zip"; ".tar"; ".tar.gz"; ".tgz" ] path

/// <summary>Lists a folder, zip, tar or tar.gz; of the latter only the files whose path is wanted.</summary>
let openWith limits (wanted: string -> bool) (place: string) =
    DataError.guard place (fun () ->
        if Directory.Exists place then
            Folder.openWith limits place
        elif hasSuffix [ ".zip" ] place then
            ZipArchive.openWith limits place
        elif hasSuffix [ ".tar" ] place then
            TarArchive.openWith limits place
        elif hasSuffix [ ".tar.gz"; ".tgz" ] place then
            TarArchive.openPacked limits wanted place
        elif File.Exists place then
            Error(DataError.create place "it is no folder, .zip, .tar or .tar.gz" "Name one of those")
        else
            raise (FileNotFoundException()))
