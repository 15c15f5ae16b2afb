namespace NormFree.Data

open System

/// <summary>The operations of Pillow that RandAugment is made of, with Pillow's results bit for bit: affine maps of pixels, blends and tables of
/// values.</summary>
[<RequireQualifiedAccess>]
module internal PixelOperations =

    /// Pillow's fixed-point numbers: 16 bits after the point.
    let private fixedPoint (value: float) = int (floor (value * 65536.0 + 0.5))

    /// <summary>The image whose pixel (x, y) is the source's pixel at (a·x + b·y + c, d·x + e·y + f), measured at centres of pixels. Outside, it is
    /// black.</summary>
    let affine (a, b, c) (d, e, f) (image: Image) =
        let result = Image.blank image.Width image.Height
        let startX, startY = fixedPoint (c + 0.5 * (a + b)), fixedPoint (f + 0.5 * (d + e))
        let a, b, d, e = fixedPoint a, fixedPoint b, fixedPoint d, fixedPoint e

        for y in 0 .. image.Height - 1 do
            for x in 0 .. image.Width - 1 do
                let sourceX, sourceY = (startX + x * a + y * b) >>> 16, (startY + x * d + y * e) >>> 16

                if sourceX >= 0 && sourceX < image.Width && sourceY >= 0 && sourceY < image.Height then
                    let source = 3 * (sourceY * image.Width + sourceX)
                    Array.Copy(image.Pixels, source, result.Pixels, 3 * (y * image.Width + x), 3)

        result

    /// <summary>Turns the image counterclockwise around its centre.</summary>
    let rotate degrees (image: Image) =
        let angle = -degrees * Math.PI / 180.0
        let cosine, sine = cos angle, sin angle
        let x, y = float image.Width / 2.0, float image.Height / 2.0
        affine (cosine, sine, x - cosine * x - sine * y) (-sine, cosine, y + sine * x - cosine * y) image

    /// other + factor·(value − other): the image for 1, the other one for 0, and beyond it for more than 1.
    let private blend (factor: float) (other: int -> byte) (image: Image) =
        let factor = float32 factor

        let mix i (value: byte) =
            let other = float32 (other i)
            byte (Math.Clamp(other + factor * (float32 value - other), 0.0f, 255.0f))

        { image with Pixels = Array.mapi mix image.Pixels }

    /// The brightness of each pixel (ITU-R 601-2).
    let private greys (image: Image) =
        let weight (pixel: byte[]) =
            byte ((int pixel[0] * 19595 + int pixel[1] * 38470 + int pixel[2] * 7471 + 0x8000) >>> 16)

        image.Pixels |> Array.chunkBySize 3 |> Array.map weight

    /// <summary>Black for factor 0.</summary>
    let brightness factor image = blend factor (fun _ -> 0uy) image

    /// <summary>Grey for factor 0.</summary>
    let saturation factor image =
        let greys = greys image
        blend factor (fun i -> greys[i / 3]) image

    /// <summary>The mean brightness for factor 0.</summary>
    let contrast factor image =
        let mean = byte (int (Array.averageBy float (greys image) + 0.5))
        blend factor (fun _ -> mean) image

    /// The image smoothed by [1 1 1; 1 5 1; 1 1 1]/13; the pixels at its edges are unchanged.
    let private smoothed (image: Image) =
        let { Width = width; Height = height; Pixels = pixels } = image
        let result = Array.copy pixels

        for y in 1 .. height - 2 do
            for x in 1 .. width - 2 do
                for channel in 0..2 do
                    let at = 3 * (y * width + x) + channel
                    let mutable sum = 4 * int pixels[at]

                    for row in -1 .. 1 do
                        for column in -1 .. 1 do
                            sum <- sum + int pixels[at + 3 * (row * width + column)]

                    result[at] <- byte (float sum / 13.0 + 0.5)

        result

    /// <summary>Smoothed for factor 0.</summary>
    let sharpness factor image =
        let smoothed = smoothed image
        blend factor (fun i -> smoothed[i]) image

    /// <summary>Keeps the highest bits of each value.</summary>
    let posterize bits (image: Image) =
        let mask = byte (0xFF <<< (8 - bits))
        { image with Pixels = image.Pixels |> Array.map (fun value -> value &&& mask) }

    /// <summary>Inverts values from the threshold on.</summary>
    let solarize threshold (image: Image) =
        { image with
            Pixels = image.Pixels |> Array.map (fun value -> if float value < threshold then value else 255uy - value) }

    /// Replaces values by a table for each channel, which <c>table</c> makes from the channel's histogram.
    let private byHistogram (table: int[] -> byte[]) (image: Image) =
        let histograms = Array.init 3 (fun _ -> Array.zeroCreate<int> 256)

        image.Pixels
        |> Array.iteri (fun i value -> histograms[i % 3][int value] <- histograms[i % 3][int value] + 1)

        let tables = Array.map table histograms
        { image with Pixels = image.Pixels |> Array.mapi (fun i value -> tables[i % 3][int value]) }

    let private unchanged = Array.init 256 byte

    /// <summary>Stretches each channel to 0 … 255.</summary>
    let autoContrast image =
        image
        |> byHistogram (fun counts ->
            let low, high = Array.findIndex ((<>) 0) counts, Array.findIndexBack ((<>) 0) counts

            if high = low then
                unchanged
            else
                let scale = 255.0 / float (high - low)
                Array.init 256 (fun value -> byte (Math.Clamp(float value * scale - float low * scale, 0.0, 255.0))))

    /// <summary>Makes the histogram of each channel as flat as possible.</summary>
    let equalize image =
        image
        |> byHistogram (fun counts ->
            let last = Array.findIndexBack ((<>) 0) counts
            let step = (Array.sum counts - counts[last]) / 255

            if step = 0 then
                unchanged
            else
                let before = Array.scan (+) (step / 2) counts
                Array.init 256 (fun value -> byte (min 255 (before[value] / step))))
