/// <summary>JPEG and PNG files to RGB.</summary>
/// <remarks>
/// Greyscale, CMYK, palettes and 16 bits a channel become 8-bit RGB; alpha is dropped, orientation tags and colour
/// profiles are not applied: what Pillow's <c>convert("RGB")</c> does.
/// </remarks>
module NormFree.Data.Decode

open System
open SkiaSharp

/// A file may ask for this many pixels, 400 MB while it is decoded, and no more.
let maxPixels = 100_000_000L

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

/// <summary>Decodes a file's bytes; Error says what is wrong with them, without the file's name.</summary>
let image (bytes: byte[]) : Result<Image, string> =
    use data = SKData.CreateCopy bytes
    use codec = SKCodec.Create data

    if isNull codec then
        Error $"its {bytes.Length} bytes are no image in a known format (JPEG, PNG)"
    else
        let width, height = codec.Info.Width, codec.Info.Height

        if int64 width * int64 height > maxPixels then
            Error $"{width}×{height} pixels are more than the {maxPixels / 1_000_000L} million that are allowed"
        else
            pixels codec bytes.Length
