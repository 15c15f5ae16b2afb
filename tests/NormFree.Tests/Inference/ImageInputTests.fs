/// Images of bytes as the packed engine takes them: the same as the training's evaluation.
module NormFree.Tests.Inference.ImageInputTests

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Tests.Kernels
open NormFree.Tests.Training

/// What the training's loader makes of an image.
let private loaded steps side (normalisation: Normalisation) image =
    let options =
        { BatchSize = 1
          Workers = 1
          From = LoaderProgress.None
          Prefetch = 1
          Steps = steps
          Normalisation = normalisation
          Side = side
          Seed = 0L
          Epoch = 0
          Strict = true
          Report = ignore
          Cancellation = CancellationToken.None }

    let batch = Loader.read options (ImageSource.ofImages "drawn" [| image, 0 |]) [| 0 |] |> Seq.head
    batch.Images

let private noise (random: RandomStream) width height =
    { Image.blank width height with
        Pixels = Array.init (3 * width * height) (fun _ -> byte (random.Below 256)) }

let private step kind size = ImageStep(kind, size, size)

/// The tiny network with other words about its images.
let private prepared (steps: ImageStep list) =
    let tiny = Models.tiny

    PackedModel(
        Architecture = tiny.Architecture,
        Height = tiny.Height,
        Width = tiny.Width,
        Mean = tiny.Mean,
        Deviation = tiny.Deviation,
        Preparation = List.toArray steps,
        Classes = tiny.Classes,
        Layers = tiny.Layers
    )

let private side = Models.tiny.Height

/// Steps of a file, and the same as the data sets name them.
let private preparations =
    [ [], [ ResizeShort side; CentreCrop side ]
      [ step ImageStepKind.Cover (side + 3); step ImageStepKind.CentreCrop side ],
      [ ResizeShort(side + 3); CentreCrop side ]
      [ step ImageStepKind.Resize side ], [ Resize side ]
      [ step ImageStepKind.CentreCrop side ], [ CentreCrop side ]
      [ step ImageStepKind.CentreCrop 5; step ImageStepKind.Resize side ], [ CentreCrop 5; Resize side ] ]

let tests =
    testList
        "ImageInput"
        [ testProperty "prepares an image as the training's evaluation does, bit for bit"
          <| fun (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let image = noise random (1 + random.Below 50) (1 + random.Below 50)
              let steps, augments = preparations[random.Below preparations.Length]
              let model = prepared steps
              let normalisation = { Mean = Seq.toArray model.Mean; Deviation = Seq.toArray model.Deviation }
              let expected = loaded augments side normalisation image
              let actual = ImageInput.Of(model, image.Pixels, image.Height, image.Width)
              Expect.sequenceEqual (Comparison.bits actual) (Comparison.bits expected) $"values by %A{augments}"

          testCase "sizes that do not fit the bytes are refused"
          <| fun () ->
              let prepare bytes height width () =
                  ImageInput.Of(Models.tiny, Array.zeroCreate<byte> bytes, height, width) |> ignore

              Expect.throwsT<ArgumentException> (prepare 11 2 2) "a byte is missing"
              Expect.throwsT<ArgumentOutOfRangeException> (prepare 0 2 0) "no columns"
              // 3·2^62 bytes are none in 64 bits
              Expect.throwsT<ArgumentException> (prepare 0 (1 <<< 30) (1 <<< 30)) "as many as 64 bits do not count"

          testCase "images so long that they would fill the memory are refused, in either direction"
          <| fun () ->
              let model = prepared [ step ImageStepKind.Cover 224; step ImageStepKind.CentreCrop side ]
              let long = 1 <<< 20

              for height, width in [ long, 1; 1, long ] do
                  let message =
                      Support.message<ArgumentException, _>(fun () ->
                          ImageInput.Of(model, Array.zeroCreate<byte>(3 * long), height, width))

                  Expect.stringContains message "less extreme proportions" "message"

          testCase "grey networks take no colours"
          <| fun () ->
              let message =
                  Support.message<ArgumentException, _>(fun () ->
                      ImageInput.Of(Models.documented, Array.zeroCreate<byte> 12, 2, 2))

              Expect.stringContains message "images of 1 channels" "message" ]
