/// <summary>The files in a folder and its subfolders.</summary>
module internal NormFree.Data.Folder

open System.IO
open NormFree.Formats

/// Deeper than any data set. Also ends cycles of links.
[<Literal>]
let private MaxDepth = 6

let openWith limits place =
    let options =
        EnumerationOptions(
            RecurseSubdirectories = true,
            MaxRecursionDepth = MaxDepth,
            AttributesToSkip = FileAttributes.None,
            IgnoreInaccessible = false
        )

    let entries =
        DirectoryInfo(place).EnumerateFileSystemInfos("*", options)
        |> Seq.map (fun entry ->
            let path = Path.GetRelativePath(place, entry.FullName)
            (if entry :? DirectoryInfo then path + "/" else path), entry.FullName)

    let read _ (file: string) = Ok(PlainFile.ReadAllBytes(file, limits.EntryBytes))

    Listing.gather place limits entries
    |> Result.map (fun items -> Listing.build place items (fun _ -> false) read)
