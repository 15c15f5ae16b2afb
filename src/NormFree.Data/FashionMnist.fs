/// <summary>Fashion-MNIST (Xiao et al. 2017), or any set in the four IDX files of MNIST, plain or gzipped.</summary>
module NormFree.Data.FashionMnist

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression

/// The names of the classes, by label.
let classes =
    [| "t-shirt"; "trouser"; "pullover"; "dress"; "coat"; "sandal"; "shirt"; "sneaker"; "bag"; "boot" |]

let private remedy =
    "The files are train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, \
     each may end in .gz (Debian's package dataset-fashion-mnist installs them)"

/// An IDX file of bytes: its dimensions, and its data from `Start`.
type private Idx = { Dimensions: int[]; Bytes: byte[]; Start: int }

/// <summary>Big-endian: two zero bytes, 8 (the type: bytes), the number of dimensions, each dimension as 4 bytes; then
/// the data.</summary>
let private parse file dimensions (bytes: byte[]) =
    let start = 4 + 4 * dimensions
    let fail problem = Error(DataError.create file problem DataError.fetchAgain)

    if
        bytes.Length < start
        || bytes[0] <> 0uy
        || bytes[1] <> 0uy
        || bytes[2] <> 8uy
        || int bytes[3] <> dimensions
    then
        fail $"it does not begin as an IDX file of bytes with {dimensions} dimensions"
    else
        let sizes =
            Array.init dimensions (fun i -> BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(bytes, 4 + 4 * i, 4)))

        let expected = sizes |> Array.fold (fun product size -> product * bigint size) 1I

        if expected <> bigint (bytes.Length - start) then
            let shape = String.Join("×", sizes)
            fail $"{bytes.Length - start} bytes follow a header that announces {shape}"
        else
            Ok { Dimensions = Array.map int sizes; Bytes = bytes; Start = start }

/// Unpacks a gzip within the ratio and the size that archives may have; IDX files compress to about a half.
let private gunzip (packed: byte[]) =
    let limits = FileSet.defaultLimits
    let most = min limits.EntryBytes (max (1L <<< 20) (limits.Ratio * packed.LongLength))
    let exceeded _ = InvalidDataException $"{packed.Length} bytes unpack to more than {most} bytes" :> exn
    use unpacked = new GZipStream(new MemoryStream(packed), CompressionMode.Decompress)
    use stream = new LimitedStream(unpacked, most, exceeded)
    use target = new MemoryStream()
    stream.CopyTo target
    target.ToArray()

let private readIdx (set: FileSet) name dimensions =
    let find name = FileSet.tryFind name set

    match find name, find (name + ".gz") with
    | None, None -> Error(DataError.create set.Place $"there is no '{name}' or '{name}.gz' in it" remedy)
    | Some i, _ -> set.Read i |> Result.bind (parse $"{set.Place}/{set.Files[i]}" dimensions)
    | None, Some i ->
        let file = $"{set.Place}/{set.Files[i]}"
        DataError.guard file (fun () -> set.Read i |> Result.map gunzip |> Result.bind (parse file dimensions))

let private source place prefix images labels : Result<ImageSource, DataError> =
    let count, height, width = images.Dimensions[0], images.Dimensions[1], images.Dimensions[2]
    let labelOf i = int labels.Bytes[labels.Start + i]
    let file = $"{place}/{prefix}-images-idx3-ubyte"

    if count <> labels.Dimensions[0] then
        Error(DataError.create file $"{count} images but {labels.Dimensions[0]} labels" remedy)
    elif count = 0 || width = 0 || height = 0 then
        Error(DataError.create file $"{count} images of {width}×{height}" remedy)
    else
        match Seq.init count labelOf |> Seq.tryFindIndex (fun label -> label >= classes.Length) with
        | Some i ->
            Error(DataError.create $"{file} image {i}" $"its label is {labelOf i}, but there are 10 classes" remedy)
        | None ->
            let load i =
                let start = images.Start + i * width * height
                Image.ofGrey width height (ReadOnlySpan(images.Bytes, start, width * height))

            Ok
                { Count = count
                  Label = labelOf
                  Name = fun i -> $"{file} image {i}"
                  Load = load >> Ok }

let private readSplit (set: FileSet) prefix =
    match readIdx set $"{prefix}-images-idx3-ubyte" 3, readIdx set $"{prefix}-labels-idx1-ubyte" 1 with
    | Ok images, Ok labels -> source set.Place prefix images labels |> Result.mapError List.singleton
    | images, labels ->
        let errors =
            function
            | Error error -> [ error ]
            | Ok _ -> []

        Error(errors images @ errors labels)

/// <summary>Training and test images, grey as RGB, from a folder or archive with the four files.</summary>
let read set = DataError.both (readSplit set "train") (readSplit set "t10k")
