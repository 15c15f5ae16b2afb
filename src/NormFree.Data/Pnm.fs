/// <summary>Decodes Netpbm images (P1 to P6: bitmaps, grey maps and colour maps, as text or binary), as traffic sign and face data sets have them.</summary>
module internal NormFree.Data.Pnm

open System

/// The header of a file: its kind (1 to 6), sizes, the largest value, and where the values start.
type private Header = { Kind: int; Width: int; Height: int; Largest: int; Start: int }

let private truncated (bytes: byte[]) =
    $"the file is truncated or damaged: its image data ends early ({bytes.Length} bytes)"

let private isSpace (value: byte) = value = 32uy || (9uy <= value && value <= 13uy)

/// The position after spaces and comments.
let rec private skipSpace (bytes: byte[]) at =
    if at < bytes.Length && bytes[at] = byte '#' then
        match Array.IndexOf(bytes, byte '\n', at) with
        | -1 -> bytes.Length
        | line -> skipSpace bytes line
    elif at < bytes.Length && isSpace bytes[at] then
        skipSpace bytes (at + 1)
    else
        at

/// A number of up to nine digits and the position after it.
let private number (bytes: byte[]) at =
    let start = skipSpace bytes at
    let mutable finish = start

    while finish < bytes.Length && finish < start + 9 && Char.IsAsciiDigit(char bytes[finish]) do
        finish <- finish + 1

    if finish = start then
        None
    else
        Some(int (Text.Encoding.ASCII.GetString(bytes, start, finish - start)), finish)

let private header (bytes: byte[]) =
    let kind = int bytes[1] - int '0'

    match number bytes 2 with
    | None -> None
    | Some(width, at) ->
        match number bytes at with
        | None -> None
        // Bitmaps state no largest value.
        | Some(height, at) when kind = 1 || kind = 4 ->
            Some { Kind = kind; Width = width; Height = height; Largest = 1; Start = at + 1 }
        | Some(height, at) ->
            number bytes at
            |> Option.filter (fun (largest, _) -> 1 <= largest && largest <= 65535)
            |> Option.map (fun (largest, at) ->
                { Kind = kind; Width = width; Height = height; Largest = largest; Start = at + 1 })

/// Values of text files. Digits of bitmaps need no space between them.
let private textValues (bytes: byte[]) header count =
    let values = Array.zeroCreate<int> count
    let mutable at, read = header.Start - 1, 0

    while read < count && at < bytes.Length do
        if header.Kind = 1 then
            at <- skipSpace bytes at

            if at < bytes.Length then
                values[read] <- int bytes[at] - int '0'
                at <- at + 1
                read <- read + 1
        else
            match number bytes at with
            | Some(value, next) ->
                values[read] <- value
                at <- next
                read <- read + 1
            | None -> at <- bytes.Length

    if read = count then Some values else None

/// Values of binary files. Rows of bitmaps start at whole bytes.
let private binaryValue (bytes: byte[]) header index =
    let start = header.Start

    if header.Kind = 4 then
        let row, column = index / header.Width, index % header.Width
        let packed = bytes[start + row * ((header.Width + 7) / 8) + column / 8]
        int (packed >>> (7 - column % 8)) &&& 1
    elif header.Largest < 256 then
        int bytes[start + index]
    else
        256 * int bytes[start + 2 * index] + int bytes[start + 2 * index + 1]

/// Bytes that the values need at least.
let private neededBytes header channels =
    let width, height = int64 header.Width, int64 header.Height

    match header.Kind with
    | 1 -> width * height
    | 4 -> (width + 7L) / 8L * height
    | 2
    | 3 -> 2L * width * height * int64 channels - 1L
    | _ -> width * height * int64 channels * (if header.Largest < 256 then 1L else 2L)

/// The value as a byte. In bitmaps, 1 is black.
let private toByte header value =
    if header.Largest = 1 && (header.Kind = 1 || header.Kind = 4) then
        if value = 0 then 255uy else 0uy
    else
        byte ((min value header.Largest * 255 + header.Largest / 2) / header.Largest)

let private decode (bytes: byte[]) header =
    let channels = if header.Kind = 3 || header.Kind = 6 then 3 else 1
    let count = header.Width * header.Height * channels

    let value =
        if header.Kind <= 3 then
            textValues bytes header count |> Option.map (fun values -> fun i -> values[i])
        else
            Some(binaryValue bytes header)

    match value with
    | None -> Error(truncated bytes)
    | Some value ->
        let image = Image.blank header.Width header.Height

        for i in 0 .. image.Pixels.Length - 1 do
            image.Pixels[i] <- toByte header (value (if channels = 3 then i else i / 3))

        Ok image

/// The header, if the sizes are within the limits.
let private checkedHeader (bytes: byte[]) =
    match header bytes with
    | None -> Error "the header of the PNM file is damaged or unsupported"
    | Some header when header.Width < 1 || header.Height < 1 ->
        Error "the header of the PNM file is damaged or unsupported"
    | Some header when int64 header.Width * int64 header.Height > Image.maxPixels ->
        Error $"{header.Width}×{header.Height} pixels are more than the limit of {Image.maxPixels / 1_000_000L} million"
    | Some header -> Ok header

/// Width and height.
let size bytes = checkedHeader bytes |> Result.map (fun header -> header.Width, header.Height)

/// The image. Nothing is allocated for data that is not there.
let image (bytes: byte[]) : Result<Image, string> =
    checkedHeader bytes
    |> Result.bind (fun header ->
        let channels = if header.Kind = 3 || header.Kind = 6 then 3 else 1

        if int64 (bytes.Length - header.Start) < neededBytes header channels then
            Error(truncated bytes)
        else
            decode bytes header)
