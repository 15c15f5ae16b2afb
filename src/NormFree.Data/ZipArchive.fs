/// <summary>The files in a zip.</summary>
module internal NormFree.Data.ZipArchive

open System
open System.IO
open System.IO.Compression
open NormFree.Archives
open NormFree.Archives.Zip
open NormFree.Formats

/// Whether the Unix mode of an entry is that of a symbolic link.
let private isLink (entry: ZipArchiveEntry) = (entry.ExternalAttributes >>> 28) &&& 0xF = 0xA

/// Opens an entry. Deflated and stored entries are supported; for others .NET throws before it reads anything.
let private openEntry place (entry: ZipArchiveEntry) =
    try
        entry.Open()
    with :? InvalidDataException as error when error.Message.Contains "compress" ->
        raise (
            InvalidFileException(
                place,
                "its compression",
                "the zip uses a method other than deflate (bzip2, LZMA or Zstandard), which is not supported",
                "Unpack the zip and give the folder, or create the zip again with deflate"
            )
        )

/// Files that are opened to find out that a zip uses another method throughout.
[<Literal>]
let private SampledFiles = 8

/// Fails if none of the first files can be decompressed because of their method.
let private requireMethod place (items: struct (string * ZipArchiveEntry)[]) =
    let problem (entry: ZipArchiveEntry) =
        try
            use _ = openEntry place entry
            None
        with
        | :? InvalidFileException as error -> Some(DataError.create place error.What error.Remedy)
        // A damaged file is an unreadable file.
        | :? InvalidDataException -> None

    let problems =
        items
        |> Seq.map (fun struct (_, entry) -> entry)
        |> Seq.filter (fun entry -> entry.Length > 0L && not entry.IsEncrypted)
        |> Seq.truncate SampledFiles
        |> Seq.map problem
        |> List.ofSeq

    match problems with
    | Some error :: _ when List.forall Option.isSome problems -> Error error
    | _ -> Ok items

/// The bytes of an entry whose lengths were checked.
let private decompress place (entry: ZipArchiveEntry) =
    use stream = openEntry place entry
    // Reads exactly the length in the directory, whatever the compressed bytes contain.
    let bytes = Array.zeroCreate<byte>(int entry.Length)
    stream.ReadExactly bytes

    if Crc32.Of bytes = entry.Crc32 then
        Ok bytes
    else
        Error(DataError.create place "its checksum does not match its content" DataError.downloadAgain)

/// Whether an entry is within the limits.
let private isReadable limits (entry: ZipArchiveEntry) =
    entry.Length <= limits.EntryBytes
    && not (Listing.isTooDense entry.Length entry.CompressedLength limits)

/// Bounds the total of all entries: entries that share compressed bytes could otherwise decompress them millions of times.
let private requireTotal limits place (items: struct (string * ZipArchiveEntry)[]) =
    let packed = FileInfo(place: string).Length

    // At most Entries · EntryBytes, which fits into 64 bits.
    let total =
        items |> Array.sumBy (fun struct (_, entry) -> if isReadable limits entry then entry.Length else 0L)

    if Listing.isTooDense total packed limits then
        Error(Listing.tooDense place total packed limits)
    else
        Ok items

/// The end of a zip: its directory's place after a signature, then a comment of at most 64 KiB.
let private endBytes = 22 + 65535

/// Rejects one part of a zip that was split into several files: .NET calls it damaged.
let private requireWhole place =
    use stream = File.OpenRead place
    let start = Content.head stream
    stream.Position <- max 0L (stream.Length - int64 endBytes)
    let last = Array.zeroCreate<byte>(int (stream.Length - stream.Position))
    stream.ReadExactly last
    let directory = last.AsSpan().LastIndexOf(ReadOnlySpan "PK\005\006"B)

    // The number of the file that has the directory, from 0.
    let isLaterPart =
        directory >= 0
        && directory + 6 <= last.Length
        && BitConverter.ToUInt16(last, directory + 4) > 0us
        && BitConverter.ToUInt16(last, directory + 4) < 0xFFFFus

    if isLaterPart || (directory < 0 && start.AsSpan().StartsWith(ReadOnlySpan "PK\007\008"B)) then
        raise (
            InvalidFileException(
                place,
                "its parts",
                "it is one part of a zip that is split into several files",
                "Join them with 'zip -s 0 NAME.zip --out WHOLE.zip'"
            )
        )

let openWith limits place =
    requireWhole place
    // One handle for all readers: decompression holds a lock, image decoding does not.
    let archive = ZipFile.Open(place, ZipArchiveMode.Read, EntryNames.Zip)
    let gate = obj ()

    let read path (entry: ZipArchiveEntry) =
        if isLink entry then
            Error(Listing.link path)
        elif entry.IsEncrypted then
            Error(DataError.create path "it is encrypted" "Create the archive again without a password")
        elif entry.Length > limits.EntryBytes then
            Error(Listing.tooLarge path entry.Length limits)
        elif Listing.isTooDense entry.Length entry.CompressedLength limits then
            Error(Listing.tooDense path entry.Length entry.CompressedLength limits)
        else
            lock gate (fun () -> decompress path entry)

    let listed =
        archive.Entries
        |> Seq.map (fun entry -> entry.FullName, entry)
        |> Listing.gather place limits
        |> Result.bind (requireTotal limits place)
        |> Result.bind (requireMethod place)

    match listed with
    | Ok items -> Ok(Listing.build place items isLink read)
    | Error error ->
        archive.Dispose()
        Error error
