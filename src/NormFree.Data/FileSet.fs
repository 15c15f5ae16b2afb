namespace NormFree.Data

open System
open System.Collections.Generic
open NormFree.Formats

/// <summary>Limits that protect against archives made to fill memory or disk.</summary>
type ArchiveLimits =
    {
        /// Number of files and folders.
        Entries: int
        /// Decompressed bytes of one file.
        EntryBytes: int64
        /// Total bytes of files kept in memory (those of a .tar.gz).
        MemoryBytes: int64
        /// Decompressed bytes per compressed byte, for files and archives of more than 1 MiB decompressed. Photographs hardly compress.
        Ratio: int64
        /// Characters in a path.
        PathLength: int
        /// Depth of nested folders.
        Depth: int
    }

/// <summary>The files in a folder, zip or tar. Paths have forward slashes.</summary>
/// <remarks>Nothing is written to the disk. Thread-safe.</remarks>
type FileSet =
    {
        /// The folder's or archive's path.
        Place: string
        Files: string[]
        /// Folders with an entry of their own, which includes empty ones.
        Folders: string[]
        /// The files that are links in an archive. Reading them is an error.
        Links: string[]
        /// The bytes of Files[i].
        Read: int -> Result<byte[], DataError>
    }

module FileSet =
    let defaultLimits =
        { Entries = 5_000_000
          EntryBytes = 512L <<< 20
          MemoryBytes = 4L <<< 30
          Ratio = 200L
          PathLength = 1024
          Depth = 32 }

    /// The last component of a path.
    let fileName (path: string) = path.Substring(path.LastIndexOf '/' + 1)

    /// The path of the folder that contains a file or folder; empty for the root.
    let parent (path: string) = path.Substring(0, max 0 (path.LastIndexOf '/'))

    /// The index in Files of a file with this name, in any folder.
    let tryFind name set = set.Files |> Array.tryFindIndex (fun path -> fileName path = name)

/// Shared by the readers of folders, zips and tars.
module internal Listing =
    let private checkArchive = "Check that it is the right archive"

    let tooLarge place bytes limits =
        DataError.create place $"it has {bytes} bytes; the limit is {limits.EntryBytes}" checkArchive

    let tooDense place bytes packed limits =
        DataError.create
            place
            $"{packed} bytes decompress to {bytes} bytes, more than {limits.Ratio} times as many"
            "Do not use it: such files are made to fill memory or disk"

    /// Small files may exceed the ratio.
    let isTooDense bytes packed limits = bytes > max (1L <<< 20) (limits.Ratio * packed)

    let private dereference =
        "Create the archive again with the files instead of links (tar --dereference --hard-dereference)"

    /// Links in archives may point anywhere, so none is followed.
    let link place = DataError.create place "it is a link, and links in archives are not followed" dereference

    /// The number of links that are not listed one by one.
    let moreLinks place count = DataError.create place $"{count} more entries are links" dereference

    let private tooMany place limits = DataError.create place $"it has more than {limits.Entries} files" checkArchive

    let private outside place name =
        DataError.create
            place
            $"the entry {Quoted.Name(name: string)} points outside the archive"
            "Do not use it: such archives are made to overwrite files"

    /// Includes paths with a Windows drive.
    let private isAbsolute (path: string) =
        path.StartsWith '/'
        || (path.Length > 2 && Char.IsAsciiLetter path[0] && path.Substring(1, 2) = ":/")

    /// Normalises a path. Error if it leaves the archive's root or exceeds a limit.
    let private safePath place limits (name: string) =
        let path = name.Replace('\\', '/')
        let parts = path.Split '/' |> Array.filter (fun part -> part <> "" && part <> ".")

        if isAbsolute path || Array.contains ".." parts || path.Contains '\000' then
            Error(outside place name)
        elif path.Length > limits.PathLength || parts.Length > limits.Depth then
            DataError.create
                place
                $"the entry {Quoted.Name name} is {parts.Length - 1} folders deep and its path has {path.Length} characters; \
                  the limits are {limits.Depth} folders and {limits.PathLength} characters"
                checkArchive
            |> Error
        else
            Ok(String.Join('/', parts) + (if path.EndsWith '/' then "/" else ""))

    /// <summary>Collects (path, item) of all entries, or the first error. Paths that end in a slash are folders.</summary>
    let gather place limits (entries: seq<string * 'item>) =
        let items = List()
        let paths = HashSet StringComparer.Ordinal

        let add item (path: string) =
            if items.Count = limits.Entries then
                Some(tooMany place limits)
            elif paths.Add path then
                items.Add(struct (path, item))
                None
            elif path.EndsWith '/' then
                None
            else
                let problem = $"it contains the entry {Quoted.Name path} twice"
                Some(DataError.create place problem "Create the archive again with one of them")

        let problem =
            entries
            |> Seq.tryPick (fun (name, item) ->
                match safePath place limits name with
                | Error error -> Some error
                | Ok "/" -> None
                | Ok path -> add item path)

        match problem with
        | Some error -> Error error
        | None -> Ok(items.ToArray())

    /// Builds the set. `read` gets the path for messages.
    let build
        place
        (items: struct (string * 'item)[])
        (isLink: 'item -> bool)
        (read: string -> 'item -> Result<byte[], DataError>)
        =
        let folders, files = items |> Array.partition (fun struct (path, _) -> path.EndsWith '/')

        { Place = place
          Files = files |> Array.map (fun struct (path, _) -> path)
          Folders = folders |> Array.map (fun struct (path, _) -> path.TrimEnd '/')
          Links = files |> Array.choose (fun struct (path, item) -> if isLink item then Some path else None)
          Read =
            fun i ->
                let struct (path, item) = files[i]
                let full = $"{place}/{path}"
                DataError.guard full (fun () -> read full item) }
