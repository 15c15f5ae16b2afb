/// <summary>JPEG and PNG files to RGB.</summary>
/// <remarks>
/// Greyscale, CMYK, palettes and 16 bits a channel become 8-bit RGB; of an animated PNG, its still image is taken; alpha is dropped, orientation tags
/// and colour profiles are not applied: what Pillow's <c>convert("RGB")</c> does (docs/reliability.md tells of each kind).
/// </remarks>
module NormFree.Data.Decode

open System
open SkiaSharp
open NormFree.Formats

/// Larger images are decoded one at a time: a few bytes can ask for a gigabyte of work space, and there are many threads.
[<Literal>]
let private Huge = 16_000_000L

let private oneAtATime = obj ()

/// Four bytes a pixel to three.
let private dropAlpha width height (pixels: byte[]) =
    let image = Image.blank width height

    for i in 0 .. width * height - 1 do
        image.Pixels[3 * i] <- pixels[4 * i]
        image.Pixels[3 * i + 1] <- pixels[4 * i + 1]
        image.Pixels[3 * i + 2] <- pixels[4 * i + 2]

    image

let private pixels (codec: SKCodec) bytes =
    let info = SKImageInfo(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul)
    let mutable pixels = Array.zeroCreate<byte> info.BytesSize

    match codec.GetPixels(info, &pixels) with
    | SKCodecResult.Success -> Ok(dropAlpha info.Width info.Height pixels)
    | SKCodecResult.IncompleteInput -> Error $"the file is cut short ({bytes} bytes)"
    | problem -> Error $"the file is damaged ({problem})"

let private decode kind (bytes: byte[]) =
    use data = SKData.CreateCopy bytes
    use codec = SKCodec.Create data

    if isNull codec then
        Error $"the header of the {kind} file is damaged, or of a kind that is not read ({bytes.Length} bytes)"
    else
        let width, height = codec.Info.Width, codec.Info.Height
        let area = int64 width * int64 height

        if area > Image.maxPixels then
            Error $"{width}×{height} pixels are more than the {Image.maxPixels / 1_000_000L} million that are allowed"
        elif area > Huge then
            lock oneAtATime (fun () -> pixels codec bytes.Length)
        else
            pixels codec bytes.Length

/// <summary>Decodes a file's bytes; Error says what is wrong with them, without the file's name.</summary>
let image (bytes: byte[]) : Result<Image, string> =
    match ImageKind.tryFind bytes with
    | Some "PNG" -> decode "PNG" bytes
    | Some "JPEG" ->
        match ImageKind.scans bytes with
        | scans when scans > ImageKind.MaxScans ->
            Error $"its {scans} scans are more than the {ImageKind.MaxScans} that are allowed: no camera writes so many"
        | _ -> decode "JPEG" bytes
    | Some other -> Error $"it is a {other} file, which is not read: convert it to PNG or JPEG"
    | None -> Error $"its {bytes.Length} bytes are no image in a known format (JPEG, PNG)"

/// An image file has at most so many bytes.
let private maxBytes = 512 <<< 20

/// <summary>Reads and decodes a file, or what comes through a pipe.</summary>
let file (path: string) : Result<Image, DataError> =
    DataError.guard path (fun () ->
        use stream = IO.File.OpenRead path

        PlainFile.ReadAllBytes(stream, path, maxBytes)
        |> image
        |> Result.mapError (fun why -> DataError.create path why "Give a JPEG or PNG image"))
