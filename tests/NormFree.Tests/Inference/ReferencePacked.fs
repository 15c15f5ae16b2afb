/// Reference implementation of packed networks in plain loops: float64 sums, each layer's output rounded to float32 once. It uses no kernel.
module NormFree.Tests.Inference.ReferencePacked

open NormFree.Inference.Model

/// Height × Width × Channels values, channels last.
type Map =
    { Height: int
      Width: int
      Channels: int
      Values: float32[] }

    member m.At(y, x, c) = float m.Values[(y * m.Width + x) * m.Channels + c]

let private words channels = (channels + 63) / 64

let private slid kernel stride padding side = (side + 2 * padding - kernel) / stride + 1

/// Computes a map value by value; work shared by the values of a pixel is done once.
let private mapOf height width channels (value: int -> int -> int -> float) =
    { Height = height
      Width = width
      Channels = channels
      Values =
        [| for y in 0 .. height - 1 do
               for x in 0 .. width - 1 do
                   let ofPixel = value y x

                   for c in 0 .. channels - 1 do
                       float32 (ofPixel c) |] }

/// The pixels of the map under a kernel, with their tap indices; taps outside the map are omitted.
let private taps (map: Map) kernel stride padding y x =
    [| for i in 0 .. kernel - 1 do
           for j in 0 .. kernel - 1 do
               let row, column = y * stride + i - padding, x * stride + j - padding

               if row >= 0 && row < map.Height && column >= 0 && column < map.Width then
                   i * kernel + j, row, column |]

/// A sum of so many numbers.
let private sum count (value: int -> float) =
    let mutable total = 0.0

    for i in 0 .. count - 1 do
        total <- total + value i

    total

let private sumBy (value: 'a -> float) (items: 'a[]) = sum items.Length (fun i -> value items[i])

/// 1 or −1: a bit of packed words that begin at a place.
let private bit (packed: uint64[]) start channel =
    if (packed[start + channel / 64] >>> (channel % 64)) &&& 1UL = 1UL then
        1.0
    else
        -1.0

/// An image, channels × height × width, as a map.
let ofImage channels height width (image: float32[]) =
    mapOf height width channels (fun y x c -> float image[(c * height + y) * width + x])

/// The signs of a binary layer's input, packed: pixels × ⌈In/64⌉ words.
let signs (layer: PackedBinaryLayer) (map: Map) =
    let perPixel = words layer.In
    let packed = Array.zeroCreate (map.Height * map.Width * perPixel)

    for pixel in 0 .. map.Height * map.Width - 1 do
        for c in 0 .. layer.In - 1 do
            if map.Values[pixel * layer.In + c] >= layer.Threshold[c] then
                let place = pixel * perPixel + c / 64
                packed[place] <- packed[place] ||| (1UL <<< (c % 64))

    packed

let private real (layer: PackedConvolution) (map: Map) =
    let side = slid layer.Kernel layer.Stride layer.Padding
    let area = layer.Kernel * layer.Kernel

    mapOf (side map.Height) (side map.Width) layer.Out (fun y x o ->
        let convolved =
            taps map layer.Kernel layer.Stride layer.Padding y x
            |> sumBy (fun (tap, row, column) ->
                sum layer.In (fun c -> float layer.Weights[(o * layer.In + c) * area + tap] * map.At(row, column, c)))

        convolved + float layer.Bias[o])

let private maxPool (layer: PackedMaxPool) (map: Map) =
    let side = slid layer.Kernel layer.Stride layer.Padding

    mapOf (side map.Height) (side map.Width) map.Channels (fun y x c ->
        taps map layer.Kernel layer.Stride layer.Padding y x
        |> Array.map (fun (_, row, column) -> map.At(row, column, c))
        |> Array.max)

/// factor·(sum over squares of kernel×kernel), not rounded.
let private pool (pooled: AveragePoolShortcut) (map: Map) y x c =
    float pooled.Factor
    * sumBy (fun (_, row, column) -> map.At(row, column, c)) (taps map pooled.Kernel pooled.Kernel 0 y x)

/// What is added to the convolutions at a place.
let private shortcut (layer: PackedBinaryLayer) (map: Map) y x : int -> float =
    match layer.Shortcut with
    | :? AveragePoolShortcut as pooled ->
        let means = Array.init layer.In (pool pooled map y x)

        match pooled.Projection with
        | null -> fun o -> means[o]
        | projection ->
            fun o ->
                float projection.Scale[o]
                * sum layer.In (fun c -> bit projection.Signs (o * words layer.In) c * means[c])
    | _ -> fun o -> map.At(y, x, o % layer.In)

let private binary (layer: PackedBinaryLayer) (map: Map) =
    let packed, perPixel = signs layer map, words layer.In
    let side = slid layer.Kernel layer.Stride layer.Padding

    let value y x =
        let taps = taps map layer.Kernel layer.Stride layer.Padding y x
        let added = shortcut layer map y x

        fun o ->
            let counted =
                taps
                |> sumBy (fun (tap, row, column) ->
                    let filter = (o * layer.Kernel * layer.Kernel + tap) * perPixel
                    let pixel = (row * map.Width + column) * perPixel
                    sum layer.In (fun c -> bit layer.Signs filter c * bit packed pixel c))

            let z = float layer.Scale[o] * counted + float layer.Bias[o] + added o
            (if z > 0.0 then z else float layer.Slope[o] * z) + float layer.Shift[o]

    mapOf (side map.Height) (side map.Width) layer.Out value

/// The logits as a map of one pixel.
let private classifier (layer: PackedClassifier) (map: Map) =
    let pixels =
        [| for y in 0 .. map.Height - 1 do
               for x in 0 .. map.Width - 1 -> y, x |]

    let mean c = sumBy (fun (y, x) -> map.At(y, x, c)) pixels / float pixels.Length
    let means = Array.init layer.In mean

    mapOf 1 1 layer.Classes (fun _ _ k ->
        float layer.Bias[k] + sum layer.In (fun c -> float layer.Weights[k * layer.In + c] * means[c]))

/// The result of a layer.
let run (layer: PackedLayer) (map: Map) : Map =
    match layer with
    | :? PackedConvolution as layer -> real layer map
    | :? PackedMaxPool as layer -> maxPool layer map
    | :? PackedBinaryLayer as layer -> binary layer map
    | :? PackedClassifier as layer -> classifier layer map
    | other -> invalidArg (nameof layer) $"There is no layer of kind {other.GetType().Name}."

/// Logits of an image, channels × height × width.
let logits (model: PackedModel) height width (image: float32[]) =
    (ofImage model.Mean.Count height width image, model.Layers)
    ||> Seq.fold (fun map layer -> run layer map)
    |> _.Values
