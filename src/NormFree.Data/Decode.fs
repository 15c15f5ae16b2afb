/// <summary>Decodes JPEG, PNG, WebP, BMP, GIF, TIFF and Netpbm files to RGB.</summary>
/// <remarks>
/// Converts greyscale, CMYK, palettes and 16 bits per channel to 8-bit RGB, like Pillow's <c>convert("RGB")</c>. Reads the still image of an animated
/// PNG, the first frame of an animated GIF or WebP and the first page of a TIFF, drops alpha, and ignores orientation tags and colour profiles (docs/reliability.md lists each kind). Incomplete files are errors.
/// </remarks>
module NormFree.Data.Decode

open System
open SkiaSharp
open NormFree.Formats

/// Larger images are decoded one at a time: a small file can require a gigabyte of memory, and there are many threads.
[<Literal>]
let private Huge = 16_000_000L

let private oneAtATime = obj ()

let private incomplete length = $"the file is truncated or damaged: its image data ends early ({length} bytes)"

/// RGBA to RGB.
let private dropAlpha width height (pixels: byte[]) =
    let image = Image.blank width height

    for i in 0 .. width * height - 1 do
        image.Pixels[3 * i] <- pixels[4 * i]
        image.Pixels[3 * i + 1] <- pixels[4 * i + 1]
        image.Pixels[3 * i + 2] <- pixels[4 * i + 2]

    image

/// RGBA pixels at the size that the codec reports.
let private pixels kind (bytes: byte[]) (codec: SKCodec) =
    let info = SKImageInfo(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul)
    let mutable pixels = Array.zeroCreate<byte> info.BytesSize

    match codec.GetPixels(info, &pixels) with
    | SKCodecResult.Success -> Ok pixels
    | SKCodecResult.IncompleteInput -> Error(incomplete bytes.Length)
    | problem -> Error $"the {kind} file is damaged ({problem})"

/// Opens a file's bytes and passes the codec to `read`.
let private withCodec kind (bytes: byte[]) (read: SKCodec -> Result<'a, string>) =
    use data = SKData.CreateCopy bytes
    use codec = SKCodec.Create data

    if isNull codec then
        Error $"the header of the {kind} file is damaged or unsupported"
    else
        read codec

/// Runs the decoding of so many pixels, of a huge image alone.
let private withinMemory area (decode: unit -> Result<Image, string>) =
    if area > Huge then lock oneAtATime decode else decode ()

/// Passes the codec to `read`, if the image is not too large.
let private withinLimits (read: SKCodec -> Result<byte[], string>) (codec: SKCodec) =
    let width, height = codec.Info.Width, codec.Info.Height
    let area = int64 width * int64 height

    if area > Image.maxPixels then
        Error $"{width}×{height} pixels are more than the limit of {Image.maxPixels / 1_000_000L} million"
    else
        withinMemory area (fun () -> read codec |> Result.map (dropAlpha width height))

/// Reads a format whose decoder detects missing data.
let private whole kind bytes = withCodec kind bytes (withinLimits (pixels kind bytes))

/// Reads a JPEG of one scan. At an end marker, the decoder replaces missing data with zeros and reports success. Without the marker, it reports incomplete
/// input. The padding is what it reads ahead: at most 8 bytes.
let private sequential (bytes: byte[]) endMarker =
    let padding = Array.init 16 (fun i -> if i % 2 = 0 then 0xFFuy else 0uy)
    let unmarked = Array.append (Array.truncate endMarker bytes) padding
    withCodec "JPEG" unmarked (withinLimits (pixels "JPEG" bytes))

/// Reads a JPEG of several scans. Its decoder needs the end marker, so data is inserted before the marker: it changes the pixels only if the last scan is
/// incomplete.
let private progressive (bytes: byte[]) endMarker =
    let filler = Array.init 256 (fun i -> byte (i * 37 % 255))
    let filled = Array.concat [ Array.truncate endMarker bytes; filler; [| 0xFFuy; 0xD9uy |] ]

    let read codec =
        match pixels "JPEG" bytes codec, withCodec "JPEG" filled (pixels "JPEG" filled) with
        | Ok pixels, Ok same when pixels.AsSpan().SequenceEqual(ReadOnlySpan same) -> Ok pixels
        | Error reason, _ -> Error reason
        | Ok _, _ -> Error(incomplete bytes.Length)

    withCodec "JPEG" bytes (withinLimits read)

let private jpeg (bytes: byte[]) =
    match JpegScans.read bytes with
    | { Scans = scans } when scans > JpegScans.MaxScans ->
        Error $"it has {scans} scans; the limit is {JpegScans.MaxScans}, and cameras write about ten"
    | { End = None } -> Error $"the JPEG file is truncated or damaged: it has no end marker ({bytes.Length} bytes)"
    | { LacksScans = true } -> Error(incomplete bytes.Length)
    | { Scans = 1; End = Some position } -> sequential bytes position
    | { End = Some position } -> progressive bytes position

/// The formats that are decoded.
let private supported = [ "JPEG"; "PNG"; "WebP"; "BMP"; "GIF"; "TIFF"; "PNM" ]

/// The format of a file's bytes, if it is decoded.
let private kindOf (bytes: byte[]) =
    match ImageKind.tryFind bytes with
    | Some kind when List.contains kind supported -> Ok kind
    | Some other -> Error $"it is a {other} file, which is not supported: convert it to PNG or JPEG"
    | None ->
        match Content.ofHead (Array.truncate Content.HeadBytes bytes) with
        | Content.Other(kind, remedy) -> Error $"it is {kind} and not an image. {remedy}"
        | _ ->
            let formats = String.Join(", ", supported)
            Error $"its {bytes.Length} bytes are not an image in a supported format ({formats})"

/// <summary>Decodes a file's bytes. Errors do not contain the file's name.</summary>
let image (bytes: byte[]) : Result<Image, string> =
    kindOf bytes
    |> Result.bind (fun kind ->
        match kind with
        | "JPEG" -> jpeg bytes
        | "PNM" -> Pnm.image bytes
        | "TIFF" -> Tiff.image withinMemory bytes
        | _ -> whole kind bytes)

/// <summary>Width and height in pixels, from the file's header.</summary>
let size (bytes: byte[]) : Result<int * int, string> =
    kindOf bytes
    |> Result.bind (fun kind ->
        match kind with
        | "PNM" -> Pnm.size bytes
        | "TIFF" -> Tiff.size bytes
        | _ -> withCodec kind bytes (fun codec -> Ok(codec.Info.Width, codec.Info.Height)))

/// Maximum size of an image file.
let private maxBytes = 512 <<< 20

/// <summary>Reads and decodes a file or a pipe.</summary>
let file (path: string) : Result<Image, DataError> =
    DataError.guard path (fun () ->
        use stream = IO.File.OpenRead path

        PlainFile.ReadAllBytes(stream, path, maxBytes)
        |> image
        |> Result.mapError (fun why -> DataError.create path why "Use a complete image, such as JPEG or PNG"))
