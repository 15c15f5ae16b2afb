/// <summary>Bilinear resizing with antialiasing.</summary>
/// <remarks>
/// A triangle filter whose support grows with the scale when shrinking, in two passes with bytes between, fixed point
/// of 22 bits: the arithmetic of Pillow's <c>Image.resize(BILINEAR)</c>, which torchvision uses on images.
/// </remarks>
module NormFree.Data.Resample

open System

/// Output pixel i of a pass is Σ Weights[i·Taps + t] · input[First[i] + t], t < Used[i].
type private Filter = { Taps: int; First: int[]; Used: int[]; Weights: int[] }

[<Literal>]
let private FractionBits = 22

let private filter input output =
    let scale = float input / float output
    let support = max scale 1.0
    let taps = int (ceil support) * 2 + 1

    let result =
        { Taps = taps
          First = Array.zeroCreate output
          Used = Array.zeroCreate output
          Weights = Array.zeroCreate (taps * output) }

    for i in 0 .. output - 1 do
        let centre = (float i + 0.5) * scale
        let first = max 0 (int (centre - support + 0.5))
        let used = min input (int (centre + support + 0.5)) - first

        let weights =
            Array.init used (fun t -> max 0.0 (1.0 - abs ((float (t + first) - centre + 0.5) / support)))

        let sum = Array.sum weights
        result.First[i] <- first
        result.Used[i] <- used

        for t in 0 .. used - 1 do
            result.Weights[i * taps + t] <- int (weights[t] / sum * float (1 <<< FractionBits) + 0.5)

    result

let inline private toByte sum = byte (Math.Clamp(sum >>> FractionBits, 0, 255))

/// One pass along rows of pixels that lie `step` bytes apart; `lines` lines that lie `stride` bytes apart.
let private pass (f: Filter) (source: byte[]) sourceStep sourceStride (target: byte[]) targetStep targetStride lines =
    for line in 0 .. lines - 1 do
        for i in 0 .. f.First.Length - 1 do
            let start = line * sourceStride + f.First[i] * sourceStep
            let mutable r = 1 <<< (FractionBits - 1)
            let mutable g = r
            let mutable b = r

            for t in 0 .. f.Used[i] - 1 do
                let weight = f.Weights[i * f.Taps + t]
                let at = start + t * sourceStep
                r <- r + weight * int source[at]
                g <- g + weight * int source[at + 1]
                b <- b + weight * int source[at + 2]

            let at = line * targetStride + i * targetStep
            target[at] <- toByte r
            target[at + 1] <- toByte g
            target[at + 2] <- toByte b

let private resizeWidth width (image: Image) =
    let result = Image.blank width image.Height
    pass (filter image.Width width) image.Pixels 3 (3 * image.Width) result.Pixels 3 (3 * width) image.Height
    result

let private resizeHeight height (image: Image) =
    let row = 3 * image.Width
    let result = Image.blank image.Width height
    pass (filter image.Height height) image.Pixels row 3 result.Pixels row 3 image.Width
    result

/// <summary>The image at <c>width</c>×<c>height</c>; a side that keeps its length is left alone.</summary>
let resize width height (image: Image) =
    let wide = if width = image.Width then image else resizeWidth width image
    if height = image.Height then wide else resizeHeight height wide
