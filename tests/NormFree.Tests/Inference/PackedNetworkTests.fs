/// The packed engine: every layer against plain loops, whole networks against their layers, and what callers may rely on.
module NormFree.Tests.Inference.PackedNetworkTests

open System
open System.Threading
open Expecto
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Kernels.Simd
open NormFree.Tests.Data.Support
open NormFree.Tests.Kernels

let private zeros count : float32[] = Array.zeroCreate count

/// Relative to the largest value of a map: sums of up to a thousand roundings.
let private tolerance = 1e-5

let private load set threads model = PackedNetwork.From(model, PackedOptions(Threads = threads, InstructionSet = set))

let private logits (network: PackedNetwork) (images: float32[]) =
    let perImage = network.Model.Mean.Count * network.Height * network.Width
    let logits = zeros (images.Length / perImage * network.Classes)
    network.Run(images, logits)
    logits

/// A layer's result and the signs of its input.
let private layer (network: PackedNetwork) number (map: ReferencePacked.Map) =
    let model = network.Model.Layers[number]
    let size = MapSize(map.Height, map.Width, map.Channels).After model
    let values = zeros (size.Height * size.Width * size.Channels)

    let signs: uint64[] =
        match model with
        | :? BinaryLayer -> Array.zeroCreate (map.Height * map.Width * ((map.Channels + 63) / 64))
        | _ -> [||]

    network.RunLayer(number, map.Values, map.Height, map.Width, values, signs)

    { ReferencePacked.Height = size.Height
      ReferencePacked.Width = size.Width
      ReferencePacked.Channels = size.Channels
      ReferencePacked.Values = values },
    signs

/// Runs layer by layer, and compares each with the reference.
let private checkedLogits (network: PackedNetwork) image =
    let model = network.Model
    let start = ReferencePacked.ofImage model.Mean.Count model.Height model.Width image

    (start, Seq.indexed model.Layers)
    ||> Seq.fold (fun map (number, reference) ->
        let result, signs = layer network number map

        match reference with
        | :? BinaryLayer as binary ->
            Expect.sequenceEqual signs (ReferencePacked.signs binary map) $"signs of {reference.Key}"
        | _ -> ()

        let expected = (ReferencePacked.run reference map).Values |> Array.map float
        Comparison.allClose tolerance expected result.Values reference.Key
        result)
    |> _.Values

let private seeds = [ 1UL .. 30UL ]

let private equalBits (actual: float32[]) (expected: float32[]) what =
    Expect.sequenceEqual (Comparison.bits actual) (Comparison.bits expected) what

let private layersAndNetwork set =
    for title, model in
        ("projections", Models.projected) :: [ for seed in seeds -> $"{seed}", RandomModels.ofSeed seed ] do
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

let tests =
    testList
        "PackedNetwork"
        [ Support.testEverySet
              "every layer is what plain loops make of its input, and a network is its layers"
              layersAndNetwork

          Support.testEverySet "neither threads nor the batch change a bit" threadsAndBatches

          for seed in [ 12UL; 15UL ] do
              for threads in [ 1; 2; 16 ] do
                  testCase $"model {seed} on {threads} threads: 16 callers at the same time get the bits of one alone"
                  <| fun () ->
                      let model = RandomModels.ofSeed seed
                      let images = [| for i in 0..15 -> RandomModels.images (uint64 i) (1 + i % 4) model |]
                      let expected = using (load best 1 model) (fun alone -> images |> Array.map (logits alone))
                      use network = load best threads model

                      together 16 (fun i ->
                          for _ in 1..30 do
                              equalBits (logits network images[i]) expected[i] $"caller {i}")

          testCase "images of other sizes run, more of them than plans are kept"
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
                      Thread.Sleep 1 // workers sleep once, too
                      runs ()
                      // Something else in the process may allocate in one of the moments, but not in all.
                      let least = Seq.init 10 (fun _ -> allocated ()) |> Seq.min
                      Expect.equal least 0L $"bytes allocated with {threads} threads"
          )

          testCase "a caller that is interrupted gets its logits, and the interruption afterwards"
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
              Expect.isTrue (caller.Join 10_000) "the caller comes to its end"
              Expect.equal wrong 0 "all logits are right"
              Expect.isGreaterThan interruptions 0 "it was interrupted"

          testCase "NaN and infinities go through"
          <| fun () ->
              use network = load best 2 Models.tiny
              let image = Array.init (3 * 64) (fun i -> [| nanf; infinityf; -infinityf; 1f |][i % 4])
              Expect.hasLength (logits network image) 3 "logits"

          testCase "wrong lengths and sizes are refused with numbers"
          <| fun () ->
              use network = load best 1 Models.tiny
              let run images logits height width () = network.Run(zeros images, height, width, zeros logits)

              fails<ArgumentException> "191 values are no whole number of images of 3×8×8" (run 191 3 8 8)
              fails<ArgumentException> "0 values" (run 0 0 8 8)
              fails<ArgumentException> "room for 4 logits; 1 images have 1 × 3" (run 192 4 8 8)
              fails<ArgumentException> "Images of 5×8 do not fit" (run 120 3 5 8)
              fails<ArgumentException> "Images of 0×8 do not fit" (run 192 3 0 8)
              fails<ArgumentException> "Images of 65536×65536 do not fit: layer 'stem'" (run 192 3 65536 65536)
              fails<ArgumentException> "must be from 1 to 65536" (run 192 3 Int32.MaxValue Int32.MaxValue)

              for threads in [ 0; PackedOptions.MostThreads + 1 ] do
                  fails<ArgumentOutOfRangeException> "Threads" (fun () -> load best threads Models.tiny |> ignore)

              fails<ArgumentException> "its last layer is no classifier" (fun () ->
                  load best 1 (Models.model 8 [] []) |> ignore)

              fails<ArgumentException> "values of a map of 8×8×3" (fun () ->
                  network.RunLayer(0, zeros 5, 8, 8, zeros 5, Span.Empty))

              fails<ArgumentOutOfRangeException> "height" (fun () ->
                  network.RunLayer(0, zeros 5, Int32.MaxValue, Int32.MaxValue, zeros 5, Span.Empty))

              fails<ArgumentException> "words of signs; there must be 64" (fun () ->
                  network.RunLayer(2, zeros 320, 8, 8, zeros 320, Span.Empty))

          testCase "maps on which sizes of 32 bits would overflow are refused"
          <| fun () ->
              let stem = RealConvolution("stem", 4, 8, 2048, 65536, 0, [||], [||])

              let projected =
                  BinaryLayer(
                      "wide",
                      16353,
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
                      PooledInput(1, 1f, BinaryProjection([||], [||]))
                  )

              for layer, size, message in
                  [ MaxPool("pool", 65536, 1, 65535) :> PackedLayer, MapSize(1, 1, 3), "3×1×1 is too large for it"
                    MaxPool("pool", 1, 1, 0), MapSize(65536, 65536, 1), "1×65536×65536 is too large for it"
                    stem, MapSize(2048, 2048, 4), "4×2048×2048 is too large for it"
                    RealConvolution("deep", 1, 1 <<< 24, 1, 1, 0, [||], [||]),
                    MapSize(16, 16, 1),
                    "no map may have more than 2147483647 values"
                    projected, MapSize(1, 32768, 16353), "too wide for its projection"
                    MaxPool("pool", 1, 1, 0), MapSize(Int32.MaxValue, 1, 1), "its sides must be from 1 to 65536" ] do
                  fails<ArgumentException> message (fun () -> size.After layer |> ignore)

          testCase "a disposed network is refused, and runs that go on end first"
          <| fun () ->
              let network = load best 2 Models.tiny
              let images = RandomModels.images 5UL 64 Models.tiny
              let expected = logits network images
              let mutable refused = 0

              together 3 (fun caller ->
                  if caller = 0 then
                      Thread.Sleep 20
                      network.Dispose()
                  else
                      try
                          while true do
                              equalBits (logits network images) expected "while others dispose"
                      with :? ObjectDisposedException ->
                          Interlocked.Increment &refused |> ignore)

              Expect.equal refused 2 "callers that were refused"
              network.Dispose()

              fails<ObjectDisposedException> "PackedNetwork" (fun () ->
                  network.RunLayer(0, zeros 0, 1, 1, zeros 0, Span.Empty)) ]
