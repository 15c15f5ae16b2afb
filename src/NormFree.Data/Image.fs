namespace NormFree.Data

open System
open NormFree.Kernels.Images

/// <summary>An RGB image: <c>3·Width·Height</c> bytes, row-major, channels interleaved (R, G, B).</summary>
type Image = { Width: int; Height: int; Pixels: byte[] }

/// <summary>Geometry that only moves bytes.</summary>
module Image =
    /// <summary>Pixels that an image may have, of a file or on its way to the network: 300 MB of them, 400 MB more while they are decoded.</summary>
    let maxPixels = 100_000_000L

    /// A black image.
    let blank width height = { Width = width; Height = height; Pixels = Array.zeroCreate (3 * width * height) }

    /// <summary>The <c>width</c>×<c>height</c> pixels whose upper left corner lies at (left, top).</summary>
    /// <remarks>What lies outside of the image is black, so this one function crops, pads and does both.</remarks>
    let window left top width height (image: Image) =
        { Width = width
          Height = height
          Pixels = RgbImage.Crop(image.Pixels, image.Width, image.Height, left, top, width, height) }

    /// The mirror image, left for right.
    let flip (image: Image) =
        let result = blank image.Width image.Height

        for y in 0 .. image.Height - 1 do
            for x in 0 .. image.Width - 1 do
                let source = 3 * (y * image.Width + x)
                let target = 3 * (y * image.Width + image.Width - 1 - x)
                Array.Copy(image.Pixels, source, result.Pixels, target, 3)

        result

    /// <summary>RGB from three planes that follow one another, as the CIFAR files keep them: 3·width·height
    /// bytes.</summary>
    let ofPlanes width height (planes: ReadOnlySpan<byte>) =
        let result = blank width height
        let area = width * height

        for i in 0 .. area - 1 do
            for c in 0..2 do
                result.Pixels[3 * i + c] <- planes[c * area + i]

        result

    /// <summary>RGB from one plane of greys: width·height bytes.</summary>
    let ofGrey width height (greys: ReadOnlySpan<byte>) =
        let result = blank width height

        for i in 0 .. width * height - 1 do
            for c in 0..2 do
                result.Pixels[3 * i + c] <- greys[i]

        result
