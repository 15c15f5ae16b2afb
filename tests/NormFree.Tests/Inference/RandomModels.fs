/// Random packed models of every shape, determined by a seed.
module NormFree.Tests.Inference.RandomModels

open NormFree.Data
open NormFree.Inference.Model
open NormFree.Tests.Kernels

let private floats (stream: RandomStream) low high count =
    Array.init count (fun _ -> float32 (stream.Between(low, high)))

let private pick (stream: RandomStream) (choices: 'a list) = choices[stream.Below choices.Length]

/// Some are infinite: their signs are constant.
let private thresholds (stream: RandomStream) count =
    Array.init count (fun _ ->
        match stream.Below 16 with
        | 0 -> infinityf
        | 1 -> -infinityf
        | _ -> float32 (stream.Between(-0.7, 0.7)))

let private channels (stream: RandomStream) = pick stream [ 1 + stream.Below 12; 1 + stream.Below 130; 64; 32; 128 ]

/// A real convolution with enough padding that its output is not empty.
let private convolution (stream: RandomStream) key (size: MapSize) =
    let kernel = 1 + stream.Below 7
    let padding = max (kernel / 2) (stream.Below kernel)
    let outputs = channels stream

    PackedConvolution(
        key,
        size.Channels,
        outputs,
        kernel,
        1 + stream.Below 3,
        padding,
        floats stream -0.4 0.4 (outputs * size.Channels * kernel * kernel),
        floats stream -0.3 0.3 outputs
    )
    :> PackedLayer

let private maxPool (stream: RandomStream) key =
    let kernel = 1 + stream.Below 3
    PackedMaxPool(key, kernel, 1 + stream.Below 2, min (kernel - 1) 1) :> PackedLayer

let private shortcut (stream: RandomStream) inputs =
    match stream.Below 3 with
    | 0 -> IdentityShortcut() :> PackedShortcut, (if inputs <= 40 then inputs * (1 + stream.Below 3) else inputs)
    | 1 -> AveragePoolShortcut(1 + stream.Below 3, float32 (stream.Between(0.1, 0.3)), null), inputs
    | _ ->
        let outputs = channels stream

        let projection =
            BinaryProjection(Support.signs (stream.Bits()) outputs inputs, floats stream -0.2 0.2 outputs)

        AveragePoolShortcut(1 + stream.Below 3, float32 (stream.Between(0.1, 0.3)), projection), outputs

let private binary (stream: RandomStream) key (size: MapSize) =
    let around, outputs = shortcut stream size.Channels
    let kernel = pick stream [ 1; 2; 3; 3; 3; 5 ]

    let stride =
        match around with
        | :? AveragePoolShortcut as pooled -> pooled.Kernel
        | _ -> 1

    PackedBinaryLayer(
        key,
        size.Channels,
        outputs,
        kernel,
        stride,
        stream.Below((kernel + 2) / 2),
        thresholds stream size.Channels,
        Support.signs (stream.Bits()) (outputs * kernel * kernel) size.Channels,
        floats stream -0.1 0.1 outputs,
        floats stream -0.5 0.5 outputs,
        floats stream -0.2 0.5 outputs,
        floats stream -0.5 0.5 outputs,
        around
    )
    :> PackedLayer

/// The first of 30 random layers that accepts the map, if any.
let private fitting (size: MapSize) draw =
    let fits (layer: PackedLayer) =
        try
            size.After layer |> ignore
            true
        with :? System.ArgumentException ->
            false

    Seq.init 30 (fun _ -> draw size) |> Seq.tryFind fits

let private extend draws size =
    (([], size), draws)
    ||> List.fold (fun (layers, size: MapSize) draw ->
        match fitting size draw with
        | Some layer -> layer :: layers, size.After layer
        | None -> layers, size)
    |> fun (layers, size) -> List.rev layers, size

/// A model for images of up to 17×17 pixels.
let ofSeed seed =
    let stream = RandomStream.OfSeed seed
    let height, width = 1 + stream.Below 17, 1 + stream.Below 17
    let colours = pick stream [ 3; 3; 1; 4 ]
    let classes = 1 + stream.Below 40

    let stem =
        pick
            stream
            [ [ convolution stream "stem" ]
              [ convolution stream "stem"; fun _ -> maxPool stream "pool" ]
              [ convolution stream "stem"; convolution stream "second" ]
              [ (fun _ -> maxPool stream "pool") ]
              [] ]

    let body = List.init (stream.Below 5) (fun i -> binary stream $"layer{i}")

    let layers, size = extend (stem @ body) (MapSize(height, width, colours))

    let classifier =
        PackedClassifier(
            "fc",
            size.Channels,
            classes,
            floats stream -0.3 0.3 (classes * size.Channels),
            floats stream -0.3 0.3 classes
        )

    PackedModel(
        Architecture = "random",
        Height = height,
        Width = width,
        Mean = Array.create colours 0.5f,
        Deviation = Array.create colours 0.25f,
        Classes = Array.init classes string,
        Layers = [| yield! layers; classifier |]
    )

/// Images for a model, planar, one after the other.
let images seed count (model: PackedModel) =
    floats (RandomStream.OfSeed seed) -1.0 1.0 (count * model.Mean.Count * model.Height * model.Width)
