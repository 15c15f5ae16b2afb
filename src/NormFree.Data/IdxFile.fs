/// <summary>IDX files of bytes (LeCun's format of MNIST), plain or gzipped whatever their names are.</summary>
/// <remarks>A file has at most 512 MiB of data, and a gzip of more than 1 MiB of data decompresses to at most 200 times its size.</remarks>
module internal NormFree.Data.IdxFile

open System
open System.Buffers.Binary
open System.IO

/// An IDX file of bytes: its dimensions, and its data from `Start`.
type Idx = { Dimensions: int[]; Bytes: byte[]; Start: int }

/// Bytes of the header: two zeros, the type (8: bytes), the number of dimensions, and 4 big-endian bytes per dimension.
let private headerBytes dimensions = 4 + 4 * dimensions

let private damaged file problem = Error(DataError.create file problem DataError.downloadAgain)

let private elementTypes =
    Map
        [ 8uy, "bytes"
          9uy, "signed bytes"
          11uy, "16-bit integers"
          12uy, "32-bit integers"
          13uy, "32-bit floats"
          14uy, "64-bit floats" ]

/// The error for a header that is not one of bytes with this number of dimensions.
let private otherKind file dimensions (header: byte[]) =
    let expected = $"an IDX file of bytes with {dimensions} dimensions is expected"

    if header.Length >= 4 && header[0] = 0uy && header[1] = 0uy && elementTypes.ContainsKey header[2] then
        DataError.create
            file
            $"it is an IDX file of {elementTypes[header[2]]} with {header[3]} dimensions; {expected}"
            "Give files of bytes as MNIST's: images with 3 dimensions, labels with 1"
        |> Error
    else
        match Content.ofHead header with
        | Content.Other(kind, remedy) -> Error(DataError.create file $"it is {kind}; {expected}" remedy)
        | Content.Zip -> Error(DataError.create file $"it is a zip; {expected}" "Unpack it")
        | _ -> damaged file $"{Content.inWords header}; {expected}"

/// The dimensions and the number of data bytes that a header announces, at most `FileSet.defaultLimits.EntryBytes`.
let private announced file dimensions (header: byte[]) =
    if
        header.Length < headerBytes dimensions
        || header[0] <> 0uy
        || header[1] <> 0uy
        || header[2] <> 8uy
        || int header[3] <> dimensions
    then
        otherKind file dimensions header
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

let private parsePlain file dimensions (bytes: byte[]) =
    announced file dimensions bytes
    |> Result.bind (fun (sizes, length) ->
        let start = headerBytes dimensions

        if bytes.Length - start = length then
            Ok { Dimensions = sizes; Bytes = bytes; Start = start }
        else
            mismatch file sizes (string (bytes.Length - start)))

/// Decompresses a gzip. Reads the bytes that the header announces and never more, whatever the gzip contains.
let private decompress file dimensions (compressed: byte[]) =
    use stream = Gzip.decompress (new MemoryStream(compressed))
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

/// <summary>The content of file i of a set.</summary>
let read (set: FileSet) i dimensions =
    let file = $"{set.Place}/{set.Files[i]}"

    DataError.guard file (fun () ->
        set.Read i
        |> Result.bind (fun bytes ->
            match Content.ofHead (Array.truncate Content.HeadBytes bytes) with
            | Content.Gzip -> decompress file dimensions bytes
            | _ -> parsePlain file dimensions bytes))

/// A file's name in one spelling: 7-Zip unpacks <c>train-images-idx3-ubyte.gz</c> to <c>train-images.idx3-ubyte</c>.
let canonicalName (path: string) =
    let name = (FileSet.fileName path).ToLowerInvariant().Replace(".idx", "-idx")
    if name.EndsWith ".gz" then name.Substring(0, name.Length - 3) else name
