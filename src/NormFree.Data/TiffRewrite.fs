/// <summary>Writes the used fields of a TIFF in the simplest way, so that the decoder of strips and tiles sees nothing else of the file's structure.</summary>
module internal NormFree.Data.TiffRewrite

open System.Buffers.Binary
open System.IO
open NormFree.Data.TiffFields

/// The type of a field that is written, and the bytes of a value: offsets and lengths have four.
let private typeOf tag =
    match tag with
    | Tag.JpegTables -> 7, 1
    | Tag.Width
    | Tag.Height
    | Tag.RowsPerStrip
    | Tag.StripOffsets
    | Tag.StripByteCounts
    | Tag.TileWidth
    | Tag.TileHeight
    | Tag.TileOffsets
    | Tag.TileByteCounts
    | 292
    | 293 -> 4, 4
    | _ -> 3, 2

let private number isBigEndian size (value: uint64) =
    let bytes = Array.zeroCreate<byte> 8

    if isBigEndian then
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value)
        Array.sub bytes (8 - size) size
    else
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value)
        Array.truncate size bytes

let private append (stream: MemoryStream) (bytes: byte[]) = stream.Write(bytes, 0, bytes.Length)

/// <summary>A TIFF with the file's bytes in their places, except the header, and a directory after them. It keeps the byte order.</summary>
let write (bytes: byte[]) (fields: Fields) : byte[] =
    let number = number (bytes[0] = byte 'M')
    let tags = fields.Keys |> Seq.sort |> Array.ofSeq
    let directory = (bytes.Length + 1) / 2 * 2
    let afterDirectory = directory + 2 + 12 * tags.Length + 4
    use entries = new MemoryStream()
    use values = new MemoryStream()
    append entries (number 2 (uint64 tags.Length))

    for tag in tags do
        let fieldType, size = typeOf tag
        let packed = fields[tag] |> Array.collect (number size)
        append entries (number 2 (uint64 tag))
        append entries (number 2 (uint64 fieldType))
        append entries (number 4 (uint64 fields[tag].Length))

        if packed.Length <= 4 then
            append entries (Array.append packed (Array.zeroCreate (4 - packed.Length)))
        else
            append entries (number 4 (uint64 (afterDirectory + int values.Length)))
            append values packed

    append entries (number 4 0UL)
    let header = Array.concat [ Array.truncate 2 bytes; number 2 42UL; number 4 (uint64 directory) ]

    Array.concat
        [ header
          Array.skip 8 bytes
          Array.zeroCreate (directory - bytes.Length)
          entries.ToArray()
          values.ToArray() ]
