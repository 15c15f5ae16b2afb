namespace NormFree.Data

open System
open System.Collections.Generic
open System.Formats.Tar
open System.IO
open System.IO.Compression
open Microsoft.Win32.SafeHandles

/// <summary>How much of an archive is believed before it is taken for a bomb.</summary>
type ArchiveLimits =
    {
        /// Files and folders.
        Entries: int
        /// Bytes of one file, unpacked.
        EntryBytes: int64
        /// Bytes of all files that are kept in memory (those of a .tar.gz).
        MemoryBytes: int64
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
        /// The bytes of Files[i].
        Read: int -> Result<byte[], DataError>
    }

module FileSet =
    let defaultLimits = { Entries = 5_000_000; EntryBytes = 512L <<< 20; MemoryBytes = 4L <<< 30 }

    let private tooLarge place bytes limits =
        DataError.create
            place
            $"{bytes} bytes are more than the {limits.EntryBytes} that one file may have"
            "Make sure that the archive is what it should be"

    let private tooMany place limits =
        DataError.create
            place
            $"it holds more than {limits.Entries} files"
            "Make sure that the archive is what it should be"

    /// The path with forward slashes, or an error where it leaves its folder.
    let private safePath place (name: string) =
        let path = name.Replace('\\', '/')
        let path = if path.StartsWith "./" then path.Substring 2 else path

        if path.StartsWith '/' || Array.contains ".." (path.Split '/') || path.Contains '\000' then
            Error(
                DataError.create
                    place
                    $"the entry '{name}' points outside of the archive"
                    "Do not use it: such archives are made to overwrite files"
            )
        else
            Ok path

    /// Collects (path, item) of entries until one is refused or there are too many.
    let private gather place limits (entries: seq<string * 'item>) =
        let items = List()

        let problem =
            entries
            |> Seq.tryPick (fun (name, item) ->
                match safePath place name with
                | Error error -> Some error
                | Ok _ when items.Count = limits.Entries -> Some(tooMany place limits)
                | Ok path ->
                    items.Add(struct (path, item))
                    None)

        match problem with
        | Some error -> Error error
        | None -> Ok(items.ToArray())

    /// Paths that end in a slash are folders.
    let private build place (items: struct (string * 'item)[]) (read: string -> 'item -> Result<byte[], DataError>) =
        let folders, files = items |> Array.partition (fun struct (path, _) -> path.EndsWith '/')

        { Place = place
          Files = files |> Array.map (fun struct (path, _) -> path)
          Folders = folders |> Array.map (fun struct (path, _) -> path.TrimEnd '/')
          Read =
            fun i ->
                let struct (path, item) = files[i]
                DataError.guard $"{place}/{path}" (fun () -> read path item) }

    /// Below this depth no data set keeps anything; it also ends loops of links.
    [<Literal>]
    let private MaxDepth = 6

    let private ofFolder limits place =
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

        let read path (file: string) =
            let length = FileInfo(file).Length

            if length > limits.EntryBytes then
                Error(tooLarge $"{place}/{path}" length limits)
            else
                Ok(File.ReadAllBytes file)

        gather place limits entries |> Result.map (fun items -> build place items read)

    let private ofZip limits place =
        // One handle for all readers: entries are taken out under a lock, decoding them is not.
        let archive = ZipFile.OpenRead place
        let gate = obj ()

        let read path (entry: ZipArchiveEntry) =
            // Deflate packs at most 1032 bytes into one: a length beyond that is not true, and nothing is allocated
            // for it.
            if entry.Length > limits.EntryBytes || entry.Length / 1032L > entry.CompressedLength then
                Error(tooLarge $"{place}/{path}" entry.Length limits)
            else
                lock gate (fun () ->
                    use stream = entry.Open()
                    // The stream ends at the length that the directory states, whatever the packed bytes would unpack
                    // to.
                    let bytes = Array.zeroCreate<byte>(int entry.Length)
                    stream.ReadExactly bytes
                    Ok bytes)

        archive.Entries
        |> Seq.map (fun entry -> entry.FullName, entry)
        |> gather place limits
        |> Result.map (fun items -> build place items read)

    /// The entries of a tar that are files or folders; `item` sees each one while the reader stands on it.
    let private tarEntries (stream: Stream) (item: TarEntry -> 'item) =
        let classify (entry: TarEntry) =
            match entry.EntryType with
            | TarEntryType.RegularFile
            | TarEntryType.V7RegularFile
            | TarEntryType.ContiguousFile -> Some(entry.Name, item entry)
            | TarEntryType.Directory -> Some(entry.Name.TrimEnd('/') + "/", item entry)
            // Links, devices and the like have no bytes of their own.
            | _ -> None

        seq {
            use reader = new TarReader(stream, true)
            let next () = reader.GetNextEntry() |> Option.ofObj |> Option.map (fun entry -> entry, ())
            yield! Seq.unfold next () |> Seq.choose classify
        }

    /// A tar ends in a block of zeros; a file that does not was cut short, even where the cut lies between two entries.
    let private checkTarEnd place (stream: FileStream) =
        let last = Array.zeroCreate<byte> 512

        if stream.Length < 512L then
            Error(DataError.create place $"its {stream.Length} bytes are no tar archive" DataError.fetchAgain)
        else
            stream.Position <- stream.Length - 512L
            stream.ReadExactly last
            stream.Position <- 0L

            if Array.forall ((=) 0uy) last then
                Ok()
            else
                Error(DataError.create place "the tar archive ends before its end mark" DataError.fetchAgain)

    let private ofTar limits place =
        let read (handle: SafeFileHandle) path struct (offset: int64, length: int64) =
            if length > limits.EntryBytes then
                Error(tooLarge $"{place}/{path}" length limits)
            elif offset + length > RandomAccess.GetLength handle then
                Error(DataError.create $"{place}/{path}" "the archive ends within the file" DataError.fetchAgain)
            else
                let bytes = Array.zeroCreate<byte>(int length)
                let mutable count = 0

                while count < bytes.Length do
                    match RandomAccess.Read(handle, bytes.AsSpan count, offset + int64 count) with
                    | 0 -> raise (EndOfStreamException "the archive became shorter while it was read")
                    | got -> count <- count + got

                Ok bytes

        use stream = File.OpenRead place

        checkTarEnd place stream
        |> Result.bind (fun () ->
            tarEntries stream (fun entry -> struct (entry.DataOffset, entry.Length)) |> gather place limits)
        // The handle stays open as long as someone holds the set; reads name their own offsets, so they need no lock.
        |> Result.map (fun items -> build place items (read (File.OpenHandle place)))

    /// A gzip cannot be read at an offset, so the wanted files are kept in memory.
    let private ofTarGz limits wanted place =
        use file = File.OpenRead place
        use stream = new GZipStream(file, CompressionMode.Decompress)
        let mutable total = 0L

        let bytes (entry: TarEntry) =
            match entry.DataStream with
            | NonNull data when wanted entry.Name ->
                total <- total + entry.Length

                if entry.Length > limits.EntryBytes || total > limits.MemoryBytes then
                    raise (
                        InvalidDataException
                            "it is too large to be read without unpacking it; gunzip it and use the tar"
                    )

                let bytes = Array.zeroCreate<byte>(int entry.Length)
                data.ReadExactly bytes
                bytes
            | _ -> [||]

        tarEntries stream bytes
        |> Seq.filter (fun (name, _) -> name.EndsWith '/' || wanted name)
        |> gather place limits
        |> Result.map (fun items -> build place items (fun _ bytes -> Ok bytes))

    let private hasSuffix (suffixes: string list) (path: string) =
        suffixes |> List.exists (fun suffix -> path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

    /// Whether a path's name is that of an archive that `open'` knows.
    let isArchive path = hasSuffix [ ".zip"; ".tar"; ".tar.gz"; ".tgz" ] path

    /// <summary>Lists a folder, zip, tar or tar.gz; of the latter only the files whose path is wanted.</summary>
    let openWith limits (wanted: string -> bool) (place: string) =
        DataError.guard place (fun () ->
            if Directory.Exists place then
                ofFolder limits place
            elif hasSuffix [ ".zip" ] place then
                ofZip limits place
            elif hasSuffix [ ".tar" ] place then
                ofTar limits place
            elif hasSuffix [ ".tar.gz"; ".tgz" ] place then
                ofTarGz limits wanted place
            elif File.Exists place then
                Error(DataError.create place "it is no folder, .zip, .tar or .tar.gz" "Name one of those")
            else
                raise (FileNotFoundException()))

    /// The last part of a path.
    let fileName (path: string) = path.Substring(path.LastIndexOf '/' + 1)

    /// The place in Files of the file of this name, in whichever folder.
    let tryFind name set = set.Files |> Array.tryFindIndex (fun path -> fileName path = name)
