/// The packed engine: layers against plain loops, networks against their layers, concurrency, limits and errors.
module NormFree.Tests.Inference.PackedNetworkTests

open System
open System.Collections.Generic
open System.Threading
open Expecto
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Kernels.Simd
open NormFree.Tests.Data.Support
open NormFree.Tests.Kernels

let private zeros count : float32[] = Array.zeroCreate count

/// Relative to the largest value of a map, for sums of up to a thousand roundings.
let private tolerance = 1e-5

let private load set threads model = PackedNetwork.From(model, PackedOptions(Threads = threads, InstructionSet = set))

let private logits (network: PackedNetwork) (images: float32[]) =
    let perImage = network.Model.Mean.Count * network.Height * network.Width
    let logits = zeros (images.Length / perImage * network.Classes)
    network.Run(images, logits)
    logits

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

let private equalBits (actual: float32[]) (expected: float32[]) what =
    Expect.sequenceEqual (Comparison.bits actual) (Comparison.bits expected) what

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

let private fails<'error when 'error :> exn> part action =
    Expect.throwsC action (fun error ->
        Expect.equal (error.GetType()) typeof<'error> "kind of error"
        Expect.stringContains error.Message part "message")

let private best = InstructionSets.Best

/// A model of one class for images of one channel and side × side pixels.
let private limitModel side (steps: PreprocessingStep list) (layers: PackedLayer list) =
    PackedModel(
        Architecture = "limits",
        Height = side,
        Width = side,
        Mean = [| 0.5f |],
        Deviation = [| 0.25f |],
        Preprocessing = List.toArray steps,
        Classes = [| "class" |],
        Layers = [| yield! layers; PackedClassifier("fc", 1, 1, zeros 1, zeros 1) |]
    )

let private convolution key kernel padding : PackedLayer =
    PackedConvolution(key, 1, 1, kernel, 1, padding, zeros (kernel * kernel), zeros 1)

let private binary key kernel : PackedLayer =
    PackedBinaryLayer(
        key,
        1,
        1,
        kernel,
        1,
        kernel / 2,
        zeros 1,
        Array.zeroCreate (kernel * kernel),
        zeros 1,
        zeros 1,
        zeros 1,
        zeros 1,
        IdentityShortcut()
    )

let private pool key kernel : PackedLayer = PackedMaxPool(key, kernel, 1, kernel / 2)

let private affine key : PackedLayer = PackedAffine(key, 1, zeros 1, zeros 1, zeros 1, -infinityf, infinityf)

let private concatenated key inputs : PackedLayer =
    PackedBinaryLayer(
        key,
        inputs,
        1,
        1,
        1,
        0,
        zeros inputs,
        Array.zeroCreate ((inputs + 63) / 64),
        zeros 1,
        zeros 1,
        zeros 1,
        zeros 1,
        ConcatenatedShortcut()
    )

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

/// Models that exceed one limit each, and what the error must say.
let private excessive =
    let resize size = PreprocessingStep(PreprocessingKind.Resize, size, size)

    [ "pooled values",
      limitModel 2048 [] [ pool "p" 2047 ],
      "layer 'p': the layers up to this one need 2.8e14 pooled values for an image; the limit is 1e10"
      "pooled values of many layers",
      limitModel 2048 [] [ for i in 1..40 -> pool $"p{i}" 3 ],
      "layer 'p17': the layers up to this one need 1e10 pooled values"
      "binary multiply-accumulates",
      limitModel 2048 [] [ binary "b" 9 ],
      "layer 'b': the layers up to this one need 7e11 binary multiply-accumulates for an image; the limit is 5e11"
      "real multiply-accumulates",
      limitModel 2048 [] [ convolution "c" 31 15 ],
      "layer 'c': the layers up to this one need 6.4e10 real multiply-accumulates for an image; the limit is 5e10"
      "bytes of signs",
      limitModel 2048 [] [ for i in 1..40 -> binary $"b{i}" 1 ],
      "layer 'b33': the layers up to this one need 1.1e9 bytes of signs for an image; the limit is 1.1e9"
      "values of affine layers",
      limitModel 2048 [] [ for i in 1..200 -> affine $"a{i}" ],
      "layer 'a150': the layers up to this one need 1e10 pooled values"
      "values of concatenations",
      limitModel 2048 [] [ for i in 1..80 -> concatenated $"c{i}" i ],
      "bytes of signs for an image"
      "multiply-accumulates of small groups",
      PackedModel(
          Architecture = "limits",
          Height = 2048,
          Width = 2048,
          Mean = Array.create 3 0.5f,
          Deviation = Array.create 3 0.25f,
          Classes = [| "class" |],
          Layers =
              [| PackedConvolution("c", 3, 3, 9, 1, 4, zeros (3 * 81), zeros 3, 3)
                 PackedClassifier("fc", 3, 1, zeros 3, zeros 1) |]
      ),
      "layer 'c': the layers up to this one need 6.5e10 real multiply-accumulates for an image; the limit is 5e10"
      "maps that are kept",
      limitModel
          8192
          []
          [ affine "a"
            affine "b"
            affine "c"
            PackedAdd("sum1", "c", null)
            PackedAdd("sum2", "b", null)
            PackedAdd("sum3", "a", null) ],
      "layer 'c': the maps that later sums read have 201326592 values; the limit is 134217728"
      "channels of a flattened map",
      limitModel 8192 [] [ PackedFlatten "flat" ],
      "layer 'flat': it maps 1×8192×8192 to 67108864×1×1; the limit of channels is 16777216"
      "layers", limitModel 8 [] [ for i in 1..4096 -> pool $"p{i}" 1 ], "model: it has 4097 layers; the limit is 4096"
      "values of a map", limitModel 12000 [] [ pool "p" 1 ], "144060000 values; the limit is 134217728"
      "weights of a real filter",
      limitModel 8 [] [ convolution "c" 1025 1024 ],
      "each of its filters has 1050625 weights; the limit is 1048576"
      "preprocessing steps",
      limitModel 8 [ for _ in 1..17 -> resize 8 ] [],
      "model: it has 17 preprocessing steps; the limit is 16"
      "preprocessed pixels",
      limitModel 8 [ resize 5000; resize 5000; resize 8 ] [],
      "model: its preprocessing steps produce 50000064 pixels; the limit is 33554432" ]

/// Threads of this process that belong to packed networks, by their names.
let private networkThreads () =
    System.IO.Directory.GetDirectories "/proc/self/task"
    |> Array.sumBy (fun task ->
        try
            if (System.IO.File.ReadAllText(task + "/comm")).StartsWith "nf-packed" then
                1
            else
                0
        with :? System.IO.IOException ->
            0)

[<System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)>]
let private abandonNetworks count image =
    for _ in 1..count do
        logits (load best 2 Models.tiny) image |> ignore

let rec private collectUntil deadline condition =
    GC.Collect()
    GC.WaitForPendingFinalizers()

    if condition () then
        true
    elif DateTime.UtcNow > deadline then
        false
    else
        Thread.Sleep 20
        collectUntil deadline condition

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

          for seed in [ 12UL; 15UL ] do
              for threads in [ 1; 2; 16 ] do
                  testCase $"model {seed} on {threads} threads: 16 callers at the same time get the bits of one alone"
                  <| fun () ->
                      let model = RandomModels.ofSeed seed
                      let images = [| for i in 0..15 -> RandomModels.images (uint64 i) (1 + i % 4) model |]
                      let expected = using (load best 1 model) (fun alone -> images |> Array.map (logits alone))
                      use network = load best threads model

                      inParallel 16 (fun i ->
                          for _ in 1..30 do
                              equalBits (logits network images[i]) expected[i] $"caller {i}")

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

          testCase "an interrupted caller gets its logits first and the interruption afterwards"
          <| fun () ->
              use network = load best 2 Models.tiny
              let images = RandomModels.images 5UL 8 Models.tiny
              let expected = logits network images
              let mutable interruptions, wrong, ended = 0, 0, false

              let caller =
                  Thread(fun () ->
                      while not ended do
                          try
                              if logits network images <> expected then
                                  wrong <- wrong + 1

                              Thread.Sleep 0
                          with :? ThreadInterruptedException ->
                              interruptions <- interruptions + 1)

              caller.Start()

              for _ in 1..200 do
                  caller.Interrupt()
                  Thread.Sleep 1

              ended <- true
              Expect.isTrue (caller.Join 10_000) "the caller ends"
              Expect.equal wrong 0 "all logits are right"
              Expect.isGreaterThan interruptions 0 "it was interrupted"

          testCase "NaN and infinity are accepted"
          <| fun () ->
              use network = load best 2 Models.tiny
              let image = Array.init (3 * 64) (fun i -> [| nanf; infinityf; -infinityf; 1f |][i % 4])
              Expect.hasLength (logits network image) 3 "logits"

          testCase "wrong lengths and sizes are rejected with numbers"
          <| fun () ->
              use network = load best 1 Models.tiny
              let run images logits height width () = network.Run(zeros images, height, width, zeros logits)

              fails<ArgumentException> "191 values are not a whole number of images of 3×8×8" (run 191 3 8 8)
              fails<ArgumentException> "0 values" (run 0 0 8 8)
              fails<ArgumentException> "room for 4 logits; 1 images have 1 × 3" (run 192 4 8 8)
              fails<ArgumentException> "does not accept images of 5×8 pixels" (run 120 3 5 8)
              fails<ArgumentException> "does not accept images of 0×8 pixels" (run 192 3 0 8)

              fails<ArgumentException>
                  "does not accept images of 65536×65536 pixels: layer 'stem'"
                  (run 192 3 65536 65536)

              fails<ArgumentException> "must be from 1 to 65536" (run 192 3 Int32.MaxValue Int32.MaxValue)

              for threads in [ 0; PackedOptions.MaxThreads + 1 ] do
                  fails<ArgumentOutOfRangeException> "Threads" (fun () -> load best threads Models.tiny |> ignore)

              fails<ArgumentException> "its last layer is not a classifier" (fun () ->
                  load best 1 (Models.model 8 [] []) |> ignore)

              fails<ArgumentException> "input values of a 8×8×3 map" (fun () ->
                  network.RunLayer(0, zeros 5, 8, 8, zeros 5, Span.Empty))

              fails<ArgumentOutOfRangeException> "height" (fun () ->
                  network.RunLayer(0, zeros 5, Int32.MaxValue, Int32.MaxValue, zeros 5, Span.Empty))

              let sums =
                  limitModel 4 [] [ affine "a"; PackedAveragePool("pool", 2); affine "b"; PackedAdd("sum", "b", null) ]

              use network' = load best 1 sums

              fails<ArgumentException> "It adds the input of layer 'b'" (fun () ->
                  network'.RunLayer(3, zeros 4, 2, 2, zeros 4, Span.Empty))

              fails<ArgumentException> "It is not a sum" (fun () ->
                  network'.RunLayer(2, zeros 4, 2, 2, zeros 4, 2, 2, zeros 4))

              fails<ArgumentException> "its input is 1×2×2, but its shortcut maps 1×4×4 to 1×4×4" (fun () ->
                  network'.RunLayer(3, zeros 4, 2, 2, zeros 16, 4, 4, zeros 4))

              fails<ArgumentException> "5 output values; there must be 4" (fun () ->
                  network'.RunLayer(3, zeros 4, 2, 2, zeros 4, 2, 2, zeros 5))

              fails<ArgumentException> "words of signs; there must be 64" (fun () ->
                  network.RunLayer(2, zeros 320, 8, 8, zeros 320, Span.Empty))

          testCase "maps on which 32-bit sizes would overflow are rejected"
          <| fun () ->
              let stem = PackedConvolution("stem", 4, 8, 2048, 65536, 0, [||], [||])

              let projected =
                  PackedBinaryLayer(
                      "wide",
                      1024,
                      1,
                      1,
                      1,
                      0,
                      [||],
                      [||],
                      [||],
                      [||],
                      [||],
                      [||],
                      AveragePoolShortcut(1, 1f, BinaryProjection([||], [||]))
                  )

              for layer, size, message in
                  [ PackedMaxPool("pool", 65536, 1, 65535) :> PackedLayer, MapSize(1, 1, 3), "3×1×1 is too large for it"
                    PackedMaxPool("pool", 1, 1, 0), MapSize(65536, 65536, 1), "1×65536×65536 is too large for it"
                    stem, MapSize(2048, 2048, 4), "4×2048×2048 is too large for it"
                    PackedConvolution("deep", 1, 1 <<< 24, 1, 1, 0, [||], [||]),
                    MapSize(16, 16, 1),
                    "16777216×16×16, which has 4294967296 values; the limit is 134217728"
                    projected, MapSize(1, 65536, 1024), "too wide for its projection"
                    PackedMaxPool("pool", 1, 1, 0), MapSize(Int32.MaxValue, 1, 1), "sides must be from 1 to 65536" ] do
                  fails<ArgumentException> message (fun () -> size.After layer |> ignore)

          for what, model, message in excessive do
              testCase $"a limit is checked before anything is allocated: {what}"
              <| fun () ->
                  let problem = nonNull (ModelChecks.Find model)
                  Expect.stringContains (string problem) message "message"
                  fails<ArgumentException> message (fun () -> load best 1 model |> ignore)

          testCase "the limits hold for images of other sizes, too"
          <| fun () ->
              use network = load best 1 (limitModel 8 [] [ pool "p" 2047 ])

              fails<ArgumentException> "pooled values for an image; the limit is 1e10" (fun () ->
                  network.Run(zeros (2048 * 2048), 2048, 2048, zeros 1))

          testCase "a cancelled run throws, and the next one is right"
          <| fun () ->
              let images = RandomModels.images 5UL 7 Models.tiny

              for threads in 1..3 do
                  use network = load best threads Models.tiny
                  let expected = logits network images
                  let result = zeros (7 * network.Classes)
                  let cancelled = CancellationToken true

                  for _ in 1..3 do
                      Expect.throwsT<OperationCanceledException>
                          (fun () -> network.Run(images, result, cancelled))
                          "cancelled"

                      equalBits (logits network images) expected $"after cancellation, {threads} threads"

          testCase "a long run ends when it is cancelled"
          <| fun () ->
              let model = limitModel 256 [] [ pool "p" 63 ]

              for threads in 1..2 do
                  use network = load best threads model
                  let images, result = zeros (101 * 256 * 256), zeros 101 // about a minute
                  use source = new CancellationTokenSource(50)

                  Expect.throwsT<OperationCanceledException>
                      (fun () -> network.Run(images, result, source.Token))
                      $"{threads} threads"

          testSequenced (
              testCase "threads end with a network that nobody disposed"
              <| fun () ->
                  let image = RandomModels.images 5UL 1 Models.tiny
                  abandonNetworks 300 image
                  let few () = networkThreads () < 30

                  Expect.isTrue
                      (collectUntil (DateTime.UtcNow.AddSeconds 30.0) few)
                      $"{networkThreads ()} threads are left"
          )

          testCase "disposing waits for runs in progress and rejects later ones"
          <| fun () ->
              let network = load best 2 Models.tiny
              let images = RandomModels.images 5UL 64 Models.tiny
              let expected = logits network images
              let mutable rejected = 0

              inParallel 3 (fun caller ->
                  if caller = 0 then
                      Thread.Sleep 20
                      network.Dispose()
                  else
                      try
                          while true do
                              equalBits (logits network images) expected "while others dispose"
                      with :? ObjectDisposedException ->
                          Interlocked.Increment &rejected |> ignore)

              Expect.equal rejected 2 "callers that were rejected"
              network.Dispose()

              fails<ObjectDisposedException> "PackedNetwork" (fun () ->
                  network.RunLayer(0, zeros 0, 1, 1, zeros 0, Span.Empty)) ]
