module NormFree.Tests.Data.ImageTests

open System
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private pixel (image: Image) x y = List.init 3 (fun c -> image.Pixels[3 * (y * image.Width + x) + c])

/// The definition: window(x, y) is image(x + left, y + top), or black.
let private naiveWindow left top width height (image: Image) =
    { Width = width
      Height = height
      Pixels =
        [| for y in top .. top + height - 1 do
               for x in left .. left + width - 1 do
                   if x >= 0 && x < image.Width && y >= 0 && y < image.Height then
                       yield! pixel image x y
                   else
                       yield! [ 0uy; 0uy; 0uy ] |] }

/// Reference resize: one sum over both axes in doubles, without rounding between the passes.
let private naiveResize width height (image: Image) =
    let weights input output i =
        let scale = float input / float output
        let support = max 1.0 scale
        let centre = (float i + 0.5) * scale
        let raw = Array.init input (fun x -> max 0.0 (1.0 - abs (float x + 0.5 - centre) / support))
        let sum = Array.sum raw
        raw |> Array.map (fun weight -> weight / sum)

    [| for y in 0 .. height - 1 do
           let rows = weights image.Height height y

           for x in 0 .. width - 1 do
               let columns = weights image.Width width x

               for c in 0..2 do
                   let mutable sum = 0.0

                   for v in 0 .. image.Height - 1 do
                       for u in 0 .. image.Width - 1 do
                           sum <- sum + rows[v] * columns[u] * float image.Pixels[3 * (v * image.Width + u) + c]

                   sum |]

/// Two roundings to bytes, of up to a half each.
let private resizeTolerance = 1.01

let private grey values = Image.ofGrey (Array.length values) 1 (ReadOnlySpan(Array.map byte values))
let private reds (image: Image) = image.Pixels |> Array.chunkBySize 3 |> Array.map (Array.head >> int)

let tests =
    testList
        "images"
        [ testProperty "window equals its definition"
          <| fun (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let image = noise random (1 + random.Below 9) (1 + random.Below 9)
              let left, top = random.Below 20 - 10, random.Below 20 - 10
              let width, height = 1 + random.Below 12, 1 + random.Below 12
              Image.window left top width height image = naiveWindow left top width height image

          testProperty "flip mirrors, and flipping twice is the identity"
          <| fun (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let image = noise random (1 + random.Below 9) (1 + random.Below 9)
              let flipped = Image.flip image
              pixel flipped 0 0 = pixel image (image.Width - 1) 0 && Image.flip flipped = image

          test "ofPlanes interleaves the channels" {
              let image = Image.ofPlanes 2 1 (ReadOnlySpan [| 1uy; 2uy; 3uy; 4uy; 5uy; 6uy |])
              Expect.equal image.Pixels [| 1uy; 3uy; 5uy; 2uy; 4uy; 6uy |] "R, G, B of each pixel"
          }

          test "resize equals Pillow for a step edge" {
              Expect.equal (reds (Resample.resize 4 1 (grey [| 0; 255 |]))) [| 0; 64; 191; 255 |] "two to four"
              // Four to two has support 2: weights 3/7, 3/7, 1/7 for three inputs each, and 255/7 = 36.4.
              Expect.equal (reds (Resample.resize 1 1 (grey [| 10; 20 |]))) [| 15 |] "two to one"
              Expect.equal (reds (Resample.resize 2 1 (grey [| 0; 0; 255; 255 |]))) [| 36; 219 |] "four to two"
          }

          testPropertyWithConfig
              { FsCheckConfig.defaultConfig with maxTest = 60 }
              "resize equals the reference up to two roundings"
          <| fun (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let side () = 1 + random.Below(8 + 4 + 1)
              let image = noise random (side ()) (side ())
              let width, height = side (), side ()
              let resized = Resample.resize width height image
              let expected = naiveResize width height image
              Expect.equal resized.Pixels.Length expected.Length "the size"

              Array.iter2
                  (fun (value: byte) oracle ->
                      Expect.isLessThanOrEqual (abs (float value - oracle)) resizeTolerance "two roundings")
                  resized.Pixels
                  expected

          testProperty "resize keeps a flat image flat"
          <| fun (value: byte) (seed: int64) ->
              let random = RandomStream.OfKeys seed
              let image = { Image.blank (1 + random.Below 40) (1 + random.Below 40) with Pixels = [||] }
              let flat = { image with Pixels = Array.create (3 * image.Width * image.Height) value }
              let resized = Resample.resize (1 + random.Below 40) (1 + random.Below 40) flat
              resized.Pixels |> Array.forall ((=) value)

          test "resize to the same size is the identity" {
              let image = noise (RandomStream.OfKeys 1L) 7 5
              Expect.equal (Resample.resize 7 5 image) image "the image"
          } ]
