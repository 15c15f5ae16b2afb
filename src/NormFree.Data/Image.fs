namespace NormFree.Data

open System
open NormFree.Kernels.Images

/// <summary>An RGB image: <c>3·Width·Height</c> bytes, row-major, channels interleaved (R, G, B).</summary>
type Image = { Width: int; Height: int; Pixels: byte[] }

/// <summary>Operations that move pixels without changing their values.</summary>
module Image =
    /// <summary>The maximum number of pixels of an image, in a file or during augmentation: 300 MB, and 400 MB more during decoding.</summary>
    let maxPixels = 100_000_000L

    /// <summary>The largest side of small images: they are treated as CIFAR's, with its stem, augmentation and normalisation, and keep their size.</summary>
    [<Literal>]
    let SmallSide = 64

    /// A black image.
    let blank width height = { Width = width; Height = height; Pixels = Array.zeroCreate (3 * width * height) }

    /// <summary>The <c>width</c>×<c>height</c> window whose upper left corner is at (left, top).</summary>
    /// <remarks>Pixels outside the image are black, so this function crops and pads.</remarks>
    let window left top width height (image: Image) =
        { Width = width
          Height = height
          Pixels = RgbImage.Crop(image.Pixels, image.Width, image.Height, left, top, width, height) }

    /// The mirror image of a place outside 0 … n − 1, at the edges and without repeating them: −1 is 1, n is n − 2.
    let private reflected n place =
        if n = 1 then
            0
        else
            let period = 2 * n - 2
            let inside = ((place % period) + period) % period
            min inside (period - inside)

    /// <summary>The window of the image's own size whose upper left corner is at (left, top). Outside, the image is mirrored at its edges.</summary>
    let mirrored left top (image: Image) =
        let result = blank image.Width image.Height

        for y in 0 .. image.Height - 1 do
            let row = reflected image.Height (top + y) * image.Width

            for x in 0 .. image.Width - 1 do
                let source = 3 * (row + reflected image.Width (left + x))
                Array.Copy(image.Pixels, source, result.Pixels, 3 * (y * image.Width + x), 3)

        result

    /// Flips horizontally.
    let flip (image: Image) =
        let result = blank image.Width image.Height

        for y in 0 .. image.Height - 1 do
            for x in 0 .. image.Width - 1 do
                let source = 3 * (y * image.Width + x)
                let target = 3 * (y * image.Width + image.Width - 1 - x)
                Array.Copy(image.Pixels, source, result.Pixels, target, 3)

        result

    /// <summary>RGB from three consecutive planes, as in CIFAR files: 3·width·height bytes.</summary>
    let ofPlanes width height (planes: ReadOnlySpan<byte>) =
        let result = blank width height
        let area = width * height

        for i in 0 .. area - 1 do
            for c in 0..2 do
                result.Pixels[3 * i + c] <- planes[c * area + i]

        result

    /// <summary>RGB from one greyscale plane: width·height bytes.</summary>
    let ofGrey width height (greys: ReadOnlySpan<byte>) =
        let result = blank width height

        for i in 0 .. width * height - 1 do
            for c in 0..2 do
                result.Pixels[3 * i + c] <- greys[i]

        result
