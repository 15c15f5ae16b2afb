/// <summary>RGB to PNG files.</summary>
module NormFree.Data.Encode

open SkiaSharp

/// A fourth byte a pixel, which Skia wants and a PNG of opaque pixels leaves away.
let private withAlpha (image: Image) =
    let pixels = Array.create (4 * image.Width * image.Height) 255uy

    for i in 0 .. image.Width * image.Height - 1 do
        for c in 0..2 do
            pixels[4 * i + c] <- image.Pixels[3 * i + c]

    pixels

/// <summary>A PNG file's bytes, from which <c>Decode.image</c> makes the same pixels.</summary>
let png (image: Image) : byte[] =
    let info = SKImageInfo(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque)
    use drawn = SKImage.FromPixelCopy(info, withAlpha image)
    use data = drawn.Encode(SKEncodedImageFormat.Png, 100)
    data.ToArray()
