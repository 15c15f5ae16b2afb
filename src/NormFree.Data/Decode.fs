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

/// Bytes that a decoder of JPEG scans reads ahead: at most 8, each followed by a zero.
let private padding = Array.init 16 (fun i -> if i % 2 = 0 then 0xFFuy else 0uy)

/// The JPEG decoder reports incomplete input only without an end marker. At a marker, it replaces missing data with zeros and reports success.
let private unmarked (bytes: byte[]) length = Array.append (Array.truncate length bytes) padding

/// So many zeros in a scan's data are a hole, padding after it, or an image of one colour.
[<Literal>]
let private Hole = 64

/// Bytes that a decoder of a whole scan may leave.
[<Literal>]
let private Surplus = 32

/// Whether a part of a scan's data is zeros that encode other blocks, usually fewer bits than the lost ones: the scan is then complete before its end, but
/// not before the zeros, as it is if they are padding.
let private hasHole (bytes: byte[]) endMarker =
    let scan = bytes.AsSpan(0, endMarker).LastIndexOf(ReadOnlySpan [| 0xFFuy; 0xDAuy |])
    let zeros = bytes.AsSpan(scan, endMarker - scan).IndexOf(ReadOnlySpan(Array.zeroCreate<byte> Hole))

    let isComplete length = withCodec "JPEG" (unmarked bytes length) (withinLimits (pixels "JPEG" bytes)) |> Result.isOk

    zeros >= 0 && isComplete (endMarker - Surplus) && not (isComplete (scan + zeros + Surplus))

/// Reads a JPEG of one scan.
let private sequential (bytes: byte[]) endMarker =
    match withCodec "JPEG" (unmarked bytes endMarker) (withinLimits (pixels "JPEG" bytes)) with
    | Ok _ when hasHole bytes endMarker -> Error "the JPEG file is damaged: a part of its image data is zeros"
    | result -> result

/// Inserts data at the end of each scan. It changes the pixels only if a scan is incomplete.
let private filled (bytes: byte[]) scanEnds =
    let filler = Array.init 256 (fun i -> byte ((37 * i + 181) % 255))

    [| for first, last in List.pairwise (0 :: scanEnds) do
           bytes[first .. last - 1]
           filler

       bytes[List.last scanEnds ..] |]
    |> Array.concat

/// Reads a JPEG of several scans, whose decoder needs the markers.
let private progressive (bytes: byte[]) scanEnds =
    let filled = filled bytes scanEnds

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
    | { ScanEnds = [] } -> Error "the JPEG file is damaged: it has no image data"
    | { ScanEnds = ends } -> progressive bytes ends

/// The length of a RIFF file by its header, without the byte that pads an odd length.
let private riffLength (bytes: byte[]) = if bytes.Length < 8 then 0L else 8L + int64 (BitConverter.ToUInt32(bytes, 4))

/// Reads a WebP. Its decoder takes zeros for the last missing bytes.
let private webp (bytes: byte[]) =
    if riffLength bytes - 1L > int64 bytes.Length then
        Error(incomplete bytes.Length)
    else
        whole "WebP" bytes

/// Reads a GIF. Its decoder takes a zero for the end of the image's data. A file ends with the trailer 3B, which some writers leave out.
let private gif (bytes: byte[]) =
    let last = ReadOnlySpan(bytes).LastIndexOfAnyExcept 0uy

    if last < bytes.Length - 3 && bytes[last] <> 0x3Buy then
        Error(incomplete bytes.Length)
    else
        whole "GIF" bytes

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
        | "WebP" -> webp bytes
        | "GIF" -> gif bytes
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
