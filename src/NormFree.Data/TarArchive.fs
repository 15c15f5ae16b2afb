/// <summary>The files in a tar or tar.gz.</summary>
module internal NormFree.Data.TarArchive

open System.IO
open NormFree.Formats
open NormFree.Archives.Tar

/// The named entries of a tar. `stored` reads the current file of the scan.
let private entries (scan: TarScan) (stored: TarScan -> 'bytes) =
    Seq.initInfinite ignore
    |> Seq.takeWhile scan.Next
    |> Seq.map (fun () -> NestedTar.entryOf scan stored)

let private build place (items: struct (string * NestedTar.Entry<'bytes>)[]) read =
    Listing.build place items _.IsLink (NestedTar.readEntry read)

/// <summary>A tar. Files are read at their offsets.</summary>
let openWith limits place =
    use stream = File.OpenRead place

    entries (TarScan(stream, place)) (fun scan ->
        { NestedTar.File = place; NestedTar.Offset = scan.Offset; NestedTar.Length = scan.Length })
    |> Listing.gather place limits
    // The handle stays open as long as the set is referenced. Reads at offsets need no lock.
    |> Result.map (fun items -> build place items (NestedTar.read limits (File.OpenHandle place)))

/// <summary>The files in a tar and in the tars inside it.</summary>
let openNested limits place =
    let region: NestedTar.Region = { File = place; Offset = 0L; Length = FileInfo(place: string).Length }
    let handle = File.OpenHandle place

    // The root is the content of the tar itself: its entries are listed under an empty name.
    NestedTar.expand ".tar" region
    |> Seq.map (fun (path, region) -> path.TrimStart '/', region)
    |> Listing.gather place limits
    |> Result.map (fun items -> build place items (NestedTar.read limits handle))

let private tooLargeForMemory place =
    InvalidFileException(
        place,
        "its files",
        "they are too large to keep in memory",
        "Decompress it to a .tar with gunzip"
    )

/// The bytes of the wanted files, up to the limit on their total; None of the others.
let private keep limits wanted place =
    let mutable total = 0L

    fun (scan: TarScan) ->
        if wanted scan.Name then
            total <- total + scan.Length

            if scan.Length > limits.EntryBytes || total > limits.MemoryBytes then
                raise (tooLargeForMemory place)

            Some(scan.Content())
        else
            None

let private notKept path =
    DataError.create path "it is in a compressed archive and was not kept" "Decompress the archive with gunzip"

/// What a gzip contains, if it is certainly no tar.
let private requireTar place =
    use file = File.OpenRead place
    use decompressed = Gzip.decompress file

    match Content.ofHead (Content.head decompressed) with
    | Content.Other(kind, remedy) ->
        raise (InvalidFileException(place, "its content", $"it is {kind}, gzipped, and no tar", remedy))
    | Content.Zip ->
        raise (InvalidFileException(place, "its content", "it is a gzipped zip", "Decompress it with gunzip"))
    | _ -> ()

/// <summary>A tar.gz. It has no random access, so the wanted files are kept in memory. The others are listed, and cannot be read.</summary>
let openCompressed limits wanted place =
    requireTar place
    use file = File.OpenRead place
    use decompressed = Gzip.decompress file

    let bomb total =
        let error = Listing.tooDense place total file.Length limits
        InvalidFileException(place, "its content", error.Problem, error.Remedy) :> exn

    use stream = new LimitedStream(decompressed, max (1L <<< 20) (limits.Ratio * file.Length), bomb)

    let listed = entries (TarScan(stream, place)) (keep limits wanted place) |> Listing.gather place limits

    // The checksum of a gzip is at its end.
    if listed.IsOk then
        stream.CopyTo Stream.Null

    listed
    |> Result.map (fun items ->
        build place items (fun path -> Option.map Ok >> Option.defaultWith (fun () -> Error(notKept path))))
