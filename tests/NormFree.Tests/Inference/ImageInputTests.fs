/// Preprocessing of the packed engine agrees with that of evaluation during training.
module NormFree.Tests.Inference.ImageInputTests

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Tests
open NormFree.Tests.Kernels

/// The output of the training loader for an image.
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

let private step kind size = PreprocessingStep(kind, size, size)

/// The tiny network with other preprocessing steps.
let private prepared (steps: PreprocessingStep list) =
    let tiny = Models.tiny

    PackedModel(
        Architecture = tiny.Architecture,
        Height = tiny.Height,
        Width = tiny.Width,
        Mean = tiny.Mean,
        Deviation = tiny.Deviation,
        Preprocessing = List.toArray steps,
        Classes = tiny.Classes,
        Layers = tiny.Layers
    )

let private side = Models.tiny.Height

/// Steps of packed files with the equal steps of data sets.
let private preparations =
    [ [], [ ResizeShort side; CentreCrop side ]
      [ step PreprocessingKind.Cover (side + 3); step PreprocessingKind.CentreCrop side ],
      [ ResizeShort(side + 3); CentreCrop side ]
      [ step PreprocessingKind.Resize side ], [ Resize side ]
      [ step PreprocessingKind.CentreCrop side ], [ CentreCrop side ]
      [ step PreprocessingKind.CentreCrop 5; step PreprocessingKind.Resize side ], [ CentreCrop 5; Resize side ] ]

let tests =
    testList
        "ImageInput"
        [ testProperty "preprocessing is bit-identical to evaluation during training"
          <| fun (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let image = noise random (1 + random.Below 50) (1 + random.Below 50)
              let steps, augments = preparations[random.Below preparations.Length]
              let model = prepared steps
              let normalisation = { Mean = Seq.toArray model.Mean; Deviation = Seq.toArray model.Deviation }
              let expected = loaded augments side normalisation image
              let actual = ImageInput.Of(model, image.Pixels, image.Height, image.Width)
              Expect.sequenceEqual (Comparison.bits actual) (Comparison.bits expected) $"values by %A{augments}"

          testCase "sizes that do not match the bytes are rejected"
          <| fun () ->
              let prepare bytes height width () =
                  ImageInput.Of(Models.tiny, Array.zeroCreate<byte> bytes, height, width) |> ignore

              Expect.throwsT<ArgumentException> (prepare 11 2 2) "a byte is missing"
              Expect.throwsT<ArgumentOutOfRangeException> (prepare 0 2 0) "no columns"
              // 3·2^60 overflows 32 bits
              Expect.throwsT<ArgumentException> (prepare 0 (1 <<< 30) (1 <<< 30)) "more bytes than 32 bits count"

          testCase "images whose aspect ratio would fill the memory are rejected, in either direction"
          <| fun () ->
              let model = prepared [ step PreprocessingKind.Cover 224; step PreprocessingKind.CentreCrop side ]

              for long, height, width in
                  [ for long in [ 4000; 1 <<< 20 ] do
                        long, long, 1
                        long, 1, long ] do
                  let message =
                      messageOf<ArgumentException, _>(fun () ->
                          ImageInput.Of(model, Array.zeroCreate<byte>(3 * long), height, width))

                  Expect.stringContains message "less extreme proportions" "message"

          testCase "networks for grey images reject colour images"
          <| fun () ->
              let message =
                  messageOf<ArgumentException, _>(fun () ->
                      ImageInput.Of(Models.documented, Array.zeroCreate<byte> 12, 2, 2))

              Expect.stringContains message "images of 1 channels" "message" ]
