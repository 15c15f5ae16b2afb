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

/// A real convolution with enough padding that its output is not empty; some have groups.
let private convolution (stream: RandomStream) key (size: MapSize) =
    let kernel = 1 + stream.Below 7
    let padding = max (kernel / 2) (stream.Below kernel)

    let groups =
        match stream.Below 3 with
        | 0 ->
            pick
                stream
                [ for groups in 1 .. size.Channels do
                      if size.Channels % groups = 0 then
                          groups ]
        | 1 -> size.Channels
        | _ -> 1

    let outputs = if groups = 1 then channels stream else groups * pick stream [ 1; 1; 1; 2; 20 ]
    let inputs = size.Channels / groups

    PackedConvolution(
        key,
        size.Channels,
        outputs,
        kernel,
        1 + stream.Below 3,
        padding,
        floats stream -0.4 0.4 (outputs * inputs * kernel * kernel),
        floats stream -0.3 0.3 outputs,
        groups
    )
    :> PackedLayer

let private maxPool (stream: RandomStream) key =
    let kernel = 1 + stream.Below 3
    PackedMaxPool(key, kernel, 1 + stream.Below 2, min (kernel - 1) 1) :> PackedLayer

let private affine (stream: RandomStream) key (size: MapSize) =
    let numbers low high = floats stream low high size.Channels
    let low = pick stream [ -infinityf; -infinityf; 0.0f; -0.5f ]
    let high = pick stream [ infinityf; infinityf; 0.5f ]

    PackedAffine(key, size.Channels, numbers -1.0 1.0, numbers -0.3 0.3, numbers -0.2 1.0, low, high) :> PackedLayer

let private averagePool (stream: RandomStream) key = PackedAveragePool(key, 1 + stream.Below 3) :> PackedLayer

/// A 1×1 convolution of a shortcut.
let private projection (stream: RandomStream) inputs outputs : PackedProjection =
    if stream.Below 3 = 0 then
        RealProjection(floats stream -0.3 0.3 (outputs * inputs))
    else
        BinaryProjection(
            Support.signs (stream.Bits()) outputs inputs,
            floats stream -0.2 0.2 outputs,
            (stream.Below 2 = 0)
        )

let private factor (stream: RandomStream) = float32 (stream.Between(0.1, 0.3))

/// A shortcut and the filters of its layer.
let private shortcut (stream: RandomStream) inputs : PackedShortcut * int =
    match stream.Below 5 with
    | 0 -> IdentityShortcut(), (if inputs <= 40 then inputs * (1 + stream.Below 3) else inputs)
    | 1 -> AveragePoolShortcut(1 + stream.Below 3, factor stream, null), inputs
    | 2 -> NoShortcut(), channels stream
    | 3 -> ConcatenatedShortcut(), channels stream
    | _ ->
        let outputs = channels stream
        AveragePoolShortcut(1 + stream.Below 3, factor stream, projection stream inputs outputs), outputs

let private binary (stream: RandomStream) key (size: MapSize) =
    let around, outputs = shortcut stream size.Channels
    let kernel = pick stream [ 1; 2; 3; 3; 3; 5 ]

    let stride =
        match around with
        | :? AveragePoolShortcut as pooled -> pooled.Kernel
        | :? NoShortcut -> 1 + stream.Below 3
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

/// Every sum with the input of an earlier layer that a map of this size allows.
let private sums (stream: RandomStream) key (inputs: (string * MapSize) list) (size: MapSize) =
    [ for from, earlier in inputs do
          let kernel = earlier.Height / size.Height

          if (earlier.Height, earlier.Width) = (size.Height, size.Width) && size.Channels % earlier.Channels = 0 then
              PackedAdd(key, from, null)

          if kernel > 0 && (earlier.Height / kernel, earlier.Width / kernel) = (size.Height, size.Width) then
              PackedAdd(
                  key,
                  from,
                  AveragePoolShortcut(kernel, factor stream, projection stream earlier.Channels size.Channels)
              )

              if earlier.Channels = size.Channels then
                  PackedAdd(key, from, AveragePoolShortcut(kernel, factor stream, null)) ]

/// Layers so far, with the size of the input of each.
type private Body = { Layers: (PackedLayer * MapSize) list; Size: MapSize }

let private append (body: Body) (layer: PackedLayer) =
    { Layers = body.Layers @ [ layer, body.Size ]; Size = body.Size.After layer }

/// Appends the first of 30 random layers that accepts the map, if any.
let private extend (body: Body) draw =
    let fits (layer: PackedLayer) =
        try
            let size = body.Size.After layer
            // Larger maps would take the plain loops minutes.
            size.Channels <= 400
        with :? System.ArgumentException ->
            false

    match Seq.init 30 (fun _ -> draw body.Size) |> Seq.tryFind fits with
    | Some layer -> append body layer
    | None -> body

/// Appends a random sum with an earlier input, if the map allows one.
let private extendBySum stream key body =
    match sums stream key [ for layer, size in body.Layers -> layer.Key, size ] body.Size with
    | [] -> body
    | all -> append body (pick stream all)

/// Layers of all kinds in any order.
let private extendByAny (stream: RandomStream) body number =
    let key = $"layer{number}"

    match stream.Below 9 with
    | 0 -> extend body (convolution stream key)
    | 1 -> extend body (fun _ -> maxPool stream key)
    | 2 -> extend body (affine stream key)
    | 3 -> extend body (fun _ -> averagePool stream key)
    | 4 when stream.Below 2 = 0 -> extend body (fun _ -> PackedFlatten key)
    | 5
    | 6 -> extendBySum stream key body
    | _ -> extend body (binary stream key)

/// A model for images of up to 17×17 pixels. Models of even seeds have the shape of ReActNet: a stem, then binary layers.
let ofSeed seed =
    let stream = RandomStream.OfSeed seed
    let height, width = 1 + stream.Below 17, 1 + stream.Below 17
    let colours = pick stream [ 3; 3; 1; 4 ]
    let classes = 1 + stream.Below 40
    let image = { Layers = []; Size = MapSize(height, width, colours) }

    let stem =
        pick
            stream
            [ [ convolution stream "stem" ]
              [ convolution stream "stem"; fun _ -> maxPool stream "pool" ]
              [ convolution stream "stem"; convolution stream "second" ]
              [ (fun _ -> maxPool stream "pool") ]
              [] ]

    let body =
        if seed % 2UL = 0UL then
            stem @ List.init (stream.Below 5) (fun i -> binary stream $"layer{i}") |> List.fold extend image
        else
            [ 1 .. 3 + stream.Below 8 ] |> List.fold (extendByAny stream) image

    let classifier =
        PackedClassifier(
            "fc",
            body.Size.Channels,
            classes,
            floats stream -0.3 0.3 (classes * body.Size.Channels),
            floats stream -0.3 0.3 classes
        )

    PackedModel(
        Architecture = "random",
        Height = height,
        Width = width,
        Mean = Array.create colours 0.5f,
        Deviation = Array.create colours 0.25f,
        Classes = Array.init classes string,
        Layers = [| yield! List.map fst body.Layers; classifier |]
    )

/// Images for a model, planar, one after the other.
let images seed count (model: PackedModel) =
    floats (RandomStream.OfSeed seed) -1.0 1.0 (count * model.Mean.Count * model.Height * model.Width)
