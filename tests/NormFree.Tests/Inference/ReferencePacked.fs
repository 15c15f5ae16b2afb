/// Reference implementation of packed networks in plain loops: float64 sums, each layer's output rounded to float32 once. It uses no kernel.
module NormFree.Tests.Inference.ReferencePacked

open System.Collections.Generic
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
    let inputs = layer.In / layer.Groups

    mapOf (side map.Height) (side map.Width) layer.Out (fun y x o ->
        let first = o / (layer.Out / layer.Groups) * inputs

        let convolved =
            taps map layer.Kernel layer.Stride layer.Padding y x
            |> sumBy (fun (tap, row, column) ->
                sum inputs (fun c ->
                    float layer.Weights[(o * inputs + c) * area + tap] * map.At(row, column, first + c)))

        convolved + float layer.Bias[o])

let private maxPool (layer: PackedMaxPool) (map: Map) =
    let side = slid layer.Kernel layer.Stride layer.Padding

    mapOf (side map.Height) (side map.Width) map.Channels (fun y x c ->
        taps map layer.Kernel layer.Stride layer.Padding y x
        |> Array.map (fun (_, row, column) -> map.At(row, column, c))
        |> Array.max)

let private affine (layer: PackedAffine) (map: Map) =
    mapOf map.Height map.Width map.Channels (fun y x c ->
        let a = float layer.Scale[c] * map.At(y, x, c) + float layer.Bias[c]
        let activated = if a > 0.0 then a else float layer.Slope[c] * a
        min (float layer.High) (max (float layer.Low) activated))

/// The sum over squares of kernel×kernel at a place.
let private squareSum kernel (map: Map) y x c =
    sumBy (fun (_, row, column) -> map.At(row, column, c)) (taps map kernel kernel 0 y x)

let private averagePool (layer: PackedAveragePool) (map: Map) =
    mapOf (map.Height / layer.Kernel) (map.Width / layer.Kernel) map.Channels (fun y x c ->
        squareSum layer.Kernel map y x c / float (layer.Kernel * layer.Kernel))

let private flatten (map: Map) = { map with Height = 1; Width = 1; Channels = map.Values.Length }

/// A pooled and projected map at a place, not rounded.
let private pooled (shortcut: AveragePoolShortcut) (map: Map) y x : int -> float =
    let inputs = map.Channels
    let means = Array.init inputs (fun c -> float shortcut.Factor * squareSum shortcut.Kernel map y x c)

    match shortcut.Projection with
    | :? RealProjection as projection ->
        fun o -> sum inputs (fun c -> float projection.Weights[o * inputs + c] * means[c])
    | :? BinaryProjection as projection ->
        let middle = if projection.Centered then sumBy id means / float inputs else 0.0

        fun o ->
            float projection.Scale[o]
            * sum inputs (fun c -> bit projection.Signs (o * words inputs) c * (means[c] - middle))
    | _ -> fun o -> means[o]

/// What is added to the convolutions at a place.
let private shortcut (layer: PackedBinaryLayer) (map: Map) y x : int -> float =
    match layer.Shortcut with
    | :? AveragePoolShortcut as shortcut -> pooled shortcut map y x
    | :? IdentityShortcut -> fun o -> map.At(y, x, o % layer.In)
    | _ -> fun _ -> 0.0

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

    let result = mapOf (side map.Height) (side map.Width) layer.Out value

    match layer.Shortcut with
    | :? ConcatenatedShortcut ->
        mapOf map.Height map.Width (layer.In + layer.Out) (fun y x c ->
            if c < layer.In then map.At(y, x, c) else result.At(y, x, c - layer.In))
    | _ -> result

/// The logits as a map of one pixel.
let private classifier (layer: PackedClassifier) (map: Map) =
    let pixels =
        [| for y in 0 .. map.Height - 1 do
               for x in 0 .. map.Width - 1 -> y, x |]

    let mean c = sumBy (fun (y, x) -> map.At(y, x, c)) pixels / float pixels.Length
    let means = Array.init layer.In mean

    mapOf 1 1 layer.Classes (fun _ _ k ->
        float layer.Bias[k] + sum layer.In (fun c -> float layer.Weights[k * layer.In + c] * means[c]))

/// The result of a sum with the input of an earlier layer.
let add (layer: PackedAdd) (map: Map) (earlier: Map) =
    mapOf map.Height map.Width map.Channels (fun y x ->
        let added =
            match layer.Pooled with
            | null -> fun c -> earlier.At(y, x, c % earlier.Channels)
            | shortcut -> pooled shortcut earlier y x

        fun c -> map.At(y, x, c) + added c)

/// The result of a layer that reads one map.
let run (layer: PackedLayer) (map: Map) : Map =
    match layer with
    | :? PackedConvolution as layer -> real layer map
    | :? PackedMaxPool as layer -> maxPool layer map
    | :? PackedAffine as layer -> affine layer map
    | :? PackedAveragePool as layer -> averagePool layer map
    | :? PackedFlatten -> flatten map
    | :? PackedBinaryLayer as layer -> binary layer map
    | :? PackedClassifier as layer -> classifier layer map
    | other -> invalidArg (nameof layer) $"There is no layer of kind {other.GetType().Name}."

/// Logits of an image, channels × height × width.
let logits (model: PackedModel) height width (image: float32[]) =
    let inputs = Dictionary<string, Map>()

    (ofImage model.Mean.Count height width image, model.Layers)
    ||> Seq.fold (fun map layer ->
        inputs[layer.Key] <- map

        match layer with
        | :? PackedAdd as sum -> add sum map inputs[sum.From]
        | layer -> run layer map)
    |> _.Values
