/// <summary>Fashion-MNIST (Xiao et al. 2017), or any data set in MNIST's four IDX files, plain or gzipped.</summary>
/// <remarks>A file has at most 512 MiB of data, and a gzip of more than 1 MiB of data decompresses to at most 200 times its size.</remarks>
module NormFree.Data.FashionMnist

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression

/// The names of the classes, by label.
let classes =
    [| "t-shirt"; "trouser"; "pullover"; "dress"; "coat"; "sandal"; "shirt"; "sneaker"; "bag"; "boot" |]

let private remedy =
    "Provide train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each with \
     or without .gz (Debian's package dataset-fashion-mnist installs them)"

/// An IDX file of bytes: its dimensions, and its data from `Start`.
type private Idx = { Dimensions: int[]; Bytes: byte[]; Start: int }

/// Bytes of the header: two zeros, the type (8: bytes), the number of dimensions, and 4 big-endian bytes per dimension.
let private headerBytes dimensions = 4 + 4 * dimensions

let private damaged file problem = Error(DataError.create file problem DataError.downloadAgain)

/// The dimensions and the number of data bytes that a header announces, at most `FileSet.defaultLimits.EntryBytes`.
let private announced file dimensions (header: byte[]) =
    if
        header.Length < headerBytes dimensions
        || header[0] <> 0uy
        || header[1] <> 0uy
        || header[2] <> 8uy
        || int header[3] <> dimensions
    then
        damaged file $"it does not start with the header of an IDX file of bytes with {dimensions} dimensions"
    else
        let sizes =
            Array.init dimensions (fun i -> BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(header, 4 + 4 * i, 4)))

        let length = sizes |> Array.fold (fun product size -> product * bigint size) 1I
        let limit = FileSet.defaultLimits.EntryBytes

        if length > bigint limit then
            let shape = String.Join("×", sizes)
            damaged file $"its header announces {shape} bytes; the limit is {limit}"
        else
            Ok(Array.map int sizes, int length)

let private mismatch file dimensions found =
    let shape = String.Join("×", (dimensions: int[]))
    damaged file $"{found} bytes follow a header that announces {shape}"

let private parse file dimensions (bytes: byte[]) =
    announced file dimensions bytes
    |> Result.bind (fun (sizes, length) ->
        let start = headerBytes dimensions

        if bytes.Length - start = length then
            Ok { Dimensions = sizes; Bytes = bytes; Start = start }
        else
            mismatch file sizes (string (bytes.Length - start)))

/// Decompresses a gzip. Reads the bytes that the header announces and never more, whatever the gzip contains.
let private decompress file dimensions (compressed: byte[]) =
    use stream = new GZipStream(new MemoryStream(compressed), CompressionMode.Decompress)
    let header = Array.zeroCreate<byte>(headerBytes dimensions)
    stream.ReadExactly header

    announced file dimensions header
    |> Result.bind (fun (sizes, length) ->
        if Listing.isTooDense (int64 length) compressed.LongLength FileSet.defaultLimits then
            Error(Listing.tooDense file (int64 length) compressed.LongLength FileSet.defaultLimits)
        else
            let data = Array.zeroCreate<byte> length
            stream.ReadExactly data

            if stream.ReadByte() < 0 then
                Ok { Dimensions = sizes; Bytes = data; Start = 0 }
            else
                mismatch file sizes $"more than {length}")

let private readIdx (set: FileSet) name dimensions =
    let find name = FileSet.tryFind name set

    match find name, find (name + ".gz") with
    | None, None -> Error(DataError.create set.Place $"it contains neither '{name}' nor '{name}.gz'" remedy)
    | Some i, _ -> set.Read i |> Result.bind (parse $"{set.Place}/{set.Files[i]}" dimensions)
    | None, Some i ->
        let file = $"{set.Place}/{set.Files[i]}"
        DataError.guard file (fun () -> set.Read i |> Result.bind (decompress file dimensions))

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

/// <summary>Training and test images from a folder or archive with the four files, greyscale converted to RGB.</summary>
let read set = DataError.both (readSplit set "train") (readSplit set "t10k")
