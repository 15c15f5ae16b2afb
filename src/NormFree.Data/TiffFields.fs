/// <summary>The fields of a TIFF's first image. They are checked before a decoder sees the file, so that no field makes it allocate more than the file contains.</summary>
module internal NormFree.Data.TiffFields

open System
open System.Buffers.Binary
open System.Collections.Generic

/// Tags of fields (TIFF 6.0).
module Tag =
    [<Literal>]
    let Width = 256

    [<Literal>]
    let Height = 257

    [<Literal>]
    let BitsPerSample = 258

    [<Literal>]
    let Compression = 259

    [<Literal>]
    let Photometric = 262

    [<Literal>]
    let StripOffsets = 273

    [<Literal>]
    let SamplesPerPixel = 277

    [<Literal>]
    let RowsPerStrip = 278

    [<Literal>]
    let StripByteCounts = 279

    [<Literal>]
    let Planar = 284

    [<Literal>]
    let ColorMap = 320

    [<Literal>]
    let TileWidth = 322

    [<Literal>]
    let TileHeight = 323

    [<Literal>]
    let TileOffsets = 324

    [<Literal>]
    let TileByteCounts = 325

    [<Literal>]
    let SampleFormat = 339

    /// Tables that all parts of a JPEG image share.
    [<Literal>]
    let JpegTables = 347

    /// What a decoder of strips and tiles needs besides: the order of bits, options of faxes, the predictor, the meaning of extra samples, and JPEG's
    /// subsampling.
    let ofDecoders = [ 266; 292; 293; 317; 338; 530 ]

    let all =
        [ Width
          Height
          BitsPerSample
          Compression
          Photometric
          StripOffsets
          SamplesPerPixel
          RowsPerStrip
          StripByteCounts
          Planar
          ColorMap
          TileWidth
          TileHeight
          TileOffsets
          TileByteCounts
          SampleFormat
          JpegTables ]
        @ ofDecoders

/// Fields of a directory; cameras write fewer than a hundred.
[<Literal>]
let private MaxFields = 1024UL

/// Values of a field: the parts of an image of 100 million pixels in tiles of 16×16 are fewer.
[<Literal>]
let private MaxValues = 1_000_000UL

/// Bytes of a value of each type; 0 for numbers that are no type.
let private valueBytes = [| 0; 1; 1; 2; 4; 8; 1; 1; 2; 4; 8; 4; 8; 4; 0; 0; 8; 8; 8 |]

/// The fields that are used, by tag.
type Fields = Dictionary<int, uint64[]>

let truncated (bytes: byte[]) = $"the file is truncated or damaged: its image data ends early ({bytes.Length} bytes)"

let damaged = "the TIFF file is damaged: its fields contradict each other"

/// Numbers of the file in its byte order.
[<Sealed>]
type private Reader(bytes: byte[]) =
    let isBigEndian = bytes[0] = byte 'M'
    let span (at: uint64) size = ReadOnlySpan(bytes, int at, size)

    /// An unsigned number of 1, 2, 4 or 8 bytes.
    member _.Number(at: uint64, size) =
        match size, isBigEndian with
        | 1, _ -> uint64 bytes[int at]
        | 2, true -> uint64 (BinaryPrimitives.ReadUInt16BigEndian(span at 2))
        | 2, false -> uint64 (BinaryPrimitives.ReadUInt16LittleEndian(span at 2))
        | 4, true -> uint64 (BinaryPrimitives.ReadUInt32BigEndian(span at 4))
        | 4, false -> uint64 (BinaryPrimitives.ReadUInt32LittleEndian(span at 4))
        | _, true -> BinaryPrimitives.ReadUInt64BigEndian(span at 8)
        | _, false -> BinaryPrimitives.ReadUInt64LittleEndian(span at 8)

    /// Whether so many bytes are there.
    member _.Has(at: uint64, count: uint64) = at <= uint64 bytes.Length && count <= uint64 bytes.Length - at

/// Sizes in bytes that differ between TIFF and BigTIFF: of the number of fields, and of counts and offsets.
let private sizes (bytes: byte[]) = if bytes[2] = 43uy || bytes[3] = 43uy then 8, 8 else 2, 4

/// The directory's position and its number of fields.
let private directory (bytes: byte[]) (reader: Reader) =
    let countSize, offsetSize = sizes bytes
    let headerSize = if offsetSize = 8 then 16UL else 8UL

    if not (reader.Has(0UL, headerSize)) then
        Error(truncated bytes)
    else
        let at = reader.Number(headerSize - uint64 offsetSize, offsetSize)

        if not (reader.Has(at, uint64 countSize)) then
            Error(truncated bytes)
        else
            let count = reader.Number(at, countSize)

            if count > MaxFields then
                Error $"it has {count} fields; the limit is {MaxFields}"
            elif reader.Has(at + uint64 countSize, count * uint64 (4 + 2 * offsetSize)) then
                Ok(at + uint64 countSize, int count)
            else
                Error(truncated bytes)

/// Whether a type holds unsigned numbers or bytes.
let private isUnsigned fieldType = List.contains fieldType [ 1; 3; 4; 7; 13; 16; 18 ]

/// <summary>The used fields of the first directory. All fields together cannot claim more than the file's bytes.</summary>
let read (bytes: byte[]) : Result<Fields, string> =
    let reader = Reader bytes
    let _, offsetSize = sizes bytes
    let fields, seen = Fields(), HashSet<int>()
    let mutable claimed = 0UL

    /// One field at a position; None if it is as it should be.
    let field at =
        let tag, fieldType = int (reader.Number(at, 2)), int (reader.Number(at + 2UL, 2))
        let count = reader.Number(at + 4UL, offsetSize)
        let size = if fieldType < valueBytes.Length then uint64 valueBytes[fieldType] else 0UL
        let inside = at + 4UL + uint64 offsetSize

        if size = 0UL || not (seen.Add tag) then
            Some damaged
        elif count > uint64 bytes.Length / size then
            Some(truncated bytes)
        else
            claimed <- claimed + count * size

            let values =
                if count * size <= uint64 offsetSize then
                    inside
                else
                    reader.Number(inside, offsetSize)

            if claimed > uint64 bytes.Length || not (reader.Has(values, count * size)) then
                Some(truncated bytes)
            elif not (List.contains tag Tag.all) then
                None
            elif count > MaxValues then
                Some $"field {tag} has {count} values; the limit is {MaxValues}"
            elif not (isUnsigned fieldType) then
                Some damaged
            else
                fields[tag] <- Array.init (int count) (fun i -> reader.Number(values + uint64 i * size, int size))
                None

    directory bytes reader
    |> Result.bind (fun (start, count) ->
        let positions = Seq.init count (fun i -> start + uint64 (i * (4 + 2 * offsetSize)))

        match Seq.tryPick field positions with
        | Some problem -> Error problem
        | None -> Ok fields)
