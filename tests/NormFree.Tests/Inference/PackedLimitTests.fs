/// Packed networks reject wrong sizes and models that exceed a limit.
module NormFree.Tests.Inference.PackedLimitTests

open System
open Expecto
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Tests.Inference.PackedRuns

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

let tests =
    testList
        "PackedNetwork"
        [ testCase "wrong lengths and sizes are rejected with numbers"
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
                  network.Run(zeros (2048 * 2048), 2048, 2048, zeros 1)) ]
