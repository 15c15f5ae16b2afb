/// Images of bytes as the packed engine takes them: the same as the training's evaluation.
module NormFree.Tests.Inference.ImageInputTests

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Inference
open NormFree.Tests.Kernels

/// What the training's loader makes of an image.
let private loaded steps side (normalisation: Normalisation) image =
    let options =
        { BatchSize = 1
          Workers = 1
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

let tests =
    testList
        "ImageInput"
        [ testProperty "prepares an image as the training's evaluation does, bit for bit"
          <| fun (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let image = noise random (1 + random.Below 50) (1 + random.Below 50)
              let side = 8
              let shortSide = side + random.Below 4
              let model = Models.tiny
              let normalisation = { Mean = Seq.toArray model.Mean; Deviation = Seq.toArray model.Deviation }

              let expected = loaded [ ResizeShort shortSide; CentreCrop side ] side normalisation image

              let actual = ImageInput.Of(model, image.Pixels, image.Width, image.Height, shortSide)
              Expect.sequenceEqual (Comparison.bits actual) (Comparison.bits expected) "values"

          testCase "sizes that fit neither the bytes nor the network are refused"
          <| fun () ->
              let prepare bytes width height shortSide () =
                  ImageInput.Of(Models.tiny, Array.zeroCreate<byte> bytes, width, height, shortSide) |> ignore

              Expect.throwsT<ArgumentException> (prepare 11 2 2 0) "a byte is missing"
              Expect.throwsT<ArgumentOutOfRangeException> (prepare 0 0 2 0) "no columns"
              Expect.throwsT<ArgumentOutOfRangeException> (prepare 12 2 2 7) "smaller than the network" ]
