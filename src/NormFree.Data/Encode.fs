/// <summary>Encodes RGB images as PNG.</summary>
module NormFree.Data.Encode

open SkiaSharp

/// Skia takes RGBA. The PNG of an opaque image has no alpha.
let private withAlpha (image: Image) =
    let pixels = Array.create (4 * image.Width * image.Height) 255uy

    for i in 0 .. image.Width * image.Height - 1 do
        for c in 0..2 do
            pixels[4 * i + c] <- image.Pixels[3 * i + c]

    pixels

/// <summary>A PNG file's bytes. <c>Decode.image</c> restores the same pixels.</summary>
let png (image: Image) : byte[] =
    let info = SKImageInfo(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque)
    use encoded = SKImage.FromPixelCopy(info, withAlpha image)
    use data = encoded.Encode(SKEncodedImageFormat.Png, 100)
    data.ToArray()
