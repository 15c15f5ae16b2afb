/// The packed engine: layers against plain loops, networks against their layers, for any batch and number of threads.
module NormFree.Tests.Inference.PackedNetworkTests

open System
open System.Collections.Generic
open System.Threading
open Expecto
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Tests.Inference.PackedRuns
open NormFree.Tests.Kernels

/// Relative to the largest value of a map, for sums of up to a thousand roundings.
let private tolerance = 1e-5

/// The output of a layer and the signs of its input.
let private layer (network: PackedNetwork) number (map: ReferencePacked.Map) =
    let model = network.Model.Layers[number]
    let size = MapSize(map.Height, map.Width, map.Channels).After model
    let values = zeros (size.Height * size.Width * size.Channels)

    let signs: uint64[] =
        match model with
        | :? PackedBinaryLayer -> Array.zeroCreate (map.Height * map.Width * ((map.Channels + 63) / 64))
        | _ -> [||]

    network.RunLayer(number, map.Values, map.Height, map.Width, values, signs)

    { ReferencePacked.Height = size.Height
      ReferencePacked.Width = size.Width
      ReferencePacked.Channels = size.Channels
      ReferencePacked.Values = values },
    signs

/// The output of a sum with an earlier map.
let private sum (network: PackedNetwork) number (map: ReferencePacked.Map) (earlier: ReferencePacked.Map) =
    let values = zeros map.Values.Length

    network.RunLayer(number, map.Values, map.Height, map.Width, earlier.Values, earlier.Height, earlier.Width, values)

    { map with Values = values }

/// Runs layer by layer and compares each with the reference.
let private checkedLogits (network: PackedNetwork) image =
    let model = network.Model
    let start = ReferencePacked.ofImage model.Mean.Count model.Height model.Width image
    let inputs = Dictionary<string, ReferencePacked.Map>()

    (start, Seq.indexed model.Layers)
    ||> Seq.fold (fun map (number, reference) ->
        inputs[reference.Key] <- map

        let result, expected =
            match reference with
            | :? PackedAdd as add ->
                let earlier = inputs[add.From]
                sum network number map earlier, ReferencePacked.add add map earlier
            | _ ->
                let result, signs = layer network number map

                match reference with
                | :? PackedBinaryLayer as binary ->
                    Expect.sequenceEqual signs (ReferencePacked.signs binary map) $"signs of {reference.Key}"
                | _ -> ()

                result, ReferencePacked.run reference map

        Comparison.allClose tolerance (Array.map float expected.Values) result.Values reference.Key
        result)
    |> _.Values

let private seeds = [ 1UL .. 60UL ]

let private layersAndNetwork set =
    let models = [ for seed in seeds -> $"{seed}", RandomModels.ofSeed seed ]

    for title, model in ("of projections", Models.projected) :: models do
        let images = RandomModels.images (uint64 title.Length) 1 model
        use network = load set 1 model
        let expected = checkedLogits network images
        equalBits (logits network images) expected $"model {title}: the whole network is its layers one by one"

let private threadsAndBatches set =
    for seed in seeds |> List.filter (fun seed -> seed % 3UL = 0UL) do
        let model = RandomModels.ofSeed seed
        let images = RandomModels.images seed 5 model
        use alone = load set 1 model
        let expected = logits alone images

        for threads in 2..3 do
            use network = load set threads model

            for batch in 1..5 do
                let some = Array.truncate (images.Length / 5 * batch) images
                let what = $"model {seed}: {batch} images on {threads} threads"
                equalBits (logits network some) (Array.truncate (batch * network.Classes) expected) what

/// The kinds of layers, shortcuts and projections of a model.
let private kinds (model: PackedModel) =
    let pooled (shortcut: AveragePoolShortcut | null) =
        match shortcut with
        | null -> "as it is"
        | shortcut ->
            match shortcut.Projection with
            | null -> "pooled"
            | :? BinaryProjection as projection when projection.Centered -> "zero-mean projection"
            | projection -> projection.GetType().Name

    [ for layer in model.Layers do
          match layer with
          | :? PackedBinaryLayer as binary ->
              match binary.Shortcut with
              | :? AveragePoolShortcut as shortcut -> $"binary, {pooled shortcut}"
              | shortcut -> $"binary, {shortcut.GetType().Name}"
          | :? PackedAdd as add -> $"sum, {pooled add.Pooled}"
          | :? PackedConvolution as convolution when convolution.Groups > 1 ->
              if convolution.Groups = convolution.In then
                  "depthwise convolution"
              else
                  "grouped convolution"
          | layer -> layer.GetType().Name ]

let tests =
    testList
        "PackedNetwork"
        [ test "the random models have every kind of layer and shortcut" {
              let expected =
                  [ "PackedConvolution"
                    "grouped convolution"
                    "depthwise convolution"
                    "PackedMaxPool"
                    "PackedAveragePool"
                    "PackedAffine"
                    "PackedFlatten"
                    "PackedClassifier"
                    "binary, IdentityShortcut"
                    "binary, NoShortcut"
                    "binary, ConcatenatedShortcut"
                    for what in [ "binary"; "sum" ] do
                        for how in [ "pooled"; "BinaryProjection"; "zero-mean projection"; "RealProjection" ] do
                            $"{what}, {how}"
                    "sum, as it is" ]

              let found = seeds |> List.collect (fun seed -> kinds (RandomModels.ofSeed seed)) |> List.countBy id

              for kind in expected do
                  Expect.contains (List.map fst found) kind $"kinds of %A{found}"
          }

          Support.testEverySet "every layer agrees with plain loops, and the network with its layers" layersAndNetwork

          Support.testEverySet "results are bit-identical for any number of threads and any batch" threadsAndBatches

          testCase "images of more sizes than plans are kept run"
          <| fun () ->
              use network = load best 2 Models.tiny
              use other = load best 1 Models.tiny

              for height, width in [ 8, 8; 16, 8; 8, 24; 16, 16; 24, 16; 32, 8; 8, 8; 8, 24 ] do
                  let images =
                      RandomModels.images 3UL (height * width) Models.tiny |> Array.truncate (3 * height * width)

                  let run (network: PackedNetwork) =
                      let logits = zeros network.Classes
                      network.Run(images, height, width, logits)
                      logits

                  equalBits (run network) (run other) $"{height}×{width}"

          testSequenced (
              testCase "runs allocate nothing, on no thread"
              <| fun () ->
                  let model = Models.tiny
                  let images = RandomModels.images 5UL 3 model

                  for threads in 1..2 do
                      use network = load best threads model
                      let result = zeros (3 * network.Classes)
                      let one = images.Length / 3

                      let runs () =
                          for _ in 1..20 do
                              network.Run(images, result)
                              network.Run(ReadOnlySpan(images, 0, one), Span(result, 0, network.Classes))

                      let allocated () =
                          let before = GC.GetTotalAllocatedBytes true
                          runs ()
                          GC.GetTotalAllocatedBytes true - before

                      runs ()
                      Thread.Sleep 1 // the workers go to sleep, too
                      runs ()
                      // Other code in the process may allocate during some of the measurements.
                      let least = Seq.init 10 (fun _ -> allocated ()) |> Seq.min
                      Expect.equal least 0L $"bytes allocated with {threads} threads"
          )

          testCase "NaN and infinity are accepted"
          <| fun () ->
              use network = load best 2 Models.tiny
              let image = Array.init (3 * 64) (fun i -> [| nanf; infinityf; -infinityf; 1f |][i % 4])
              Expect.hasLength (logits network image) 3 "logits" ]
