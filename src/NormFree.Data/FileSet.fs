namespace NormFree.Data

open System
open System.Collections.Generic
open NormFree.Formats

/// <summary>How much of an archive is believed before it is taken for a bomb.</summary>
type ArchiveLimits =
    {
        /// Files and folders.
        Entries: int
        /// Bytes of one file, unpacked.
        EntryBytes: int64
        /// Bytes of all files that are kept in memory (those of a .tar.gz).
        MemoryBytes: int64
        /// Bytes that one compressed byte may unpack to, for files and archives of more than 1 MiB unpacked. Photographs hardly compress at all.
        Ratio: int64
        /// Characters of a path.
        PathLength: int
        /// Folders in folders.
        Depth: int
    }

/// <summary>The files under a folder, in a zip or in a tar, by paths with forward slashes.</summary>
/// <remarks>Nothing is ever unpacked to the disk. Reading is safe from any thread.</remarks>
type FileSet =
    {
        /// The folder's or archive's path.
        Place: string
        Files: string[]
        /// Folders that are listed by themselves (an empty one has no file to tell of it).
        Folders: string[]
        /// Those of Files that are links in an archive. Reading them is an error.
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

    /// The last part of a path.
    let fileName (path: string) = path.Substring(path.LastIndexOf '/' + 1)

    /// The place in Files of the file of this name, in whichever folder.
    let tryFind name set = set.Files |> Array.tryFindIndex (fun path -> fileName path = name)

/// What the listings of folders, zips and tars have in common.
module internal Listing =
    let private makeSure = "Make sure that the archive is what it should be"

    let tooLarge place bytes limits =
        DataError.create place $"it has {bytes} bytes; the limit is {limits.EntryBytes}" makeSure

    let tooDense place bytes packed limits =
        DataError.create
            place
            $"{packed} bytes unpack to {bytes} bytes, more than {limits.Ratio} times as many"
            "Do not use it: such archives are made to fill memory or disk"

    /// A few bytes may well unpack to many times as many.
    let isTooDense bytes packed limits = bytes > max (1L <<< 20) (limits.Ratio * packed)

    let private packFiles =
        "Pack the archive again with the files themselves (tar --dereference --hard-dereference)"

    /// What an archive has in a link's place: a link may lead anywhere, so none is followed.
    let link place = DataError.create place "it is a link, and links in archives are not followed" packFiles

    /// The same of so many more that are not listed.
    let moreLinks place count = DataError.create place $"and {count} more are links like these" packFiles

    let private tooMany place limits = DataError.create place $"it holds more than {limits.Entries} files" makeSure

    let private outside place name =
        DataError.create
            place
            $"the entry {Quoted.Name(name: string)} points outside of the archive"
            "Do not use it: such archives are made to overwrite files"

    /// From a root, also from one of Windows' drives.
    let private isAbsolute (path: string) =
        path.StartsWith '/'
        || (path.Length > 2 && Char.IsAsciiLetter path[0] && path.Substring(1, 2) = ":/")

    /// The path with forward slashes and without parts that say nothing, or an error where it leaves its folder or makes no sense.
    let private safePath place limits (name: string) =
        let path = name.Replace('\\', '/')
        let parts = path.Split '/' |> Array.filter (fun part -> part <> "" && part <> ".")

        if isAbsolute path || Array.contains ".." parts || path.Contains '\000' then
            Error(outside place name)
        elif path.Length > limits.PathLength || parts.Length > limits.Depth then
            DataError.create
                place
                $"the entry {Quoted.Name name} lies {parts.Length - 1} folders deep and its name has {path.Length} characters; \
                  {limits.Depth} folders and {limits.PathLength} characters are allowed"
                makeSure
            |> Error
        else
            Ok(String.Join('/', parts) + (if path.EndsWith '/' then "/" else ""))

    /// <summary>Collects (path, item) of entries until one is refused or there are too many. Paths that end in a slash are folders.</summary>
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
                let problem = $"the entry {Quoted.Name path} is in it twice"
                Some(DataError.create place problem "Pack the archive again: it is not clear which of them is meant")

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

    /// The set of such items; `read` gets the path that messages show.
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
                let shown = $"{place}/{path}"
                DataError.guard shown (fun () -> read shown item) }
