module NormFree.Tests.Data.AugmentTests

open System
open Expecto
open Microsoft.FSharp.Reflection
open NormFree.Data
open NormFree.Tests.Data.Support

let private stream seed = RandomStream.OfKeys(int64 seed, 5L)
let private sides (image: Image) = image.Width, image.Height

/// Red is x and green is y, so a pixel encodes its position.
let private map width height =
    { Width = width
      Height = height
      Pixels =
        [| for y in 1..height do
               for x in 1..width do
                   yield! [ byte x; byte y; 255uy ] |] }

let private flat value = { Width = 4; Height = 4; Pixels = Array.create 48 value }

/// Every step, in words.
let private described =
    [ PadCrop 4, "pad by 4 pixels and crop at random"
      ReflectPadCrop 4, "pad by 4 mirrored pixels and crop at random"
      Flip, "flip left to right at random"
      RandomResizedCrop(0.08, 1.0, 224), "crop 8 to 100 % of the area at random and resize it to 224×224"
      ResizeShort 256, "resize the shorter side to 256 pixels"
      CentreCrop 224, "crop the centre to 224×224"
      Resize 32, "resize to 32×32"
      Lighting(0.1, LightingMode.Corrected), "add PCA lighting noise with standard deviation 0.1"
      RandAugment(2, 9), "RandAugment, 2 operations of magnitude 9"
      CustomAugment "mine", "own augmentation mine"
      Mixup 0.2, "mixup, α = 0.2"
      CutMix 1.0, "CutMix, α = 1" ]

let tests =
    testList
        "augmentation"
        [ test "every step has words" {
              for step, words in described do
                  Expect.equal (Augment.describe step) words $"{step}"

              let tag (step: Augment) = (fst (FSharpValue.GetUnionFields(step, typeof<Augment>))).Tag
              let cases = FSharpType.GetUnionCases typeof<Augment> |> Array.map _.Tag |> Array.toList
              Expect.equal (described |> List.map (fst >> tag) |> List.sort) (List.sort cases) "every case once"
          }

          test "PadCrop shifts by up to its padding in each direction" {
              let image = map 32 32

              let shifts =
                  [ for seed in 1..2000 ->
                        let moved = Augment.step (stream seed) image (PadCrop 4)
                        Expect.equal (sides moved) (32, 32) "the size is unchanged"
                        let at = 3 * (16 * 32 + 16)
                        int moved.Pixels[at] - 17, int moved.Pixels[at + 1] - 17 ]

              Expect.equal (shifts |> List.map fst |> List.distinct |> List.sort) [ -4 .. 4 ] "all horizontal shifts"
              Expect.equal (shifts |> List.map snd |> List.distinct |> List.sort) [ -4 .. 4 ] "all vertical shifts"
          }

          test "PadCrop pads with black before normalisation" {
              let corner seed = (Augment.step (stream seed) (flat 255uy) (PadCrop 4)).Pixels[0]
              Expect.equal (List.init 200 corner |> List.distinct |> List.sort) [ 0uy; 255uy ] "black or the image"
          }

          test "Flip mirrors about half of the images" {
              let image = map 3 2
              let flipped = Seq.init 1000 (fun seed -> Augment.step (stream seed) image Flip = Image.flip image)
              let count = flipped |> Seq.filter id |> Seq.length
              Expect.isLessThan (abs (count - 500)) 80 "within five standard deviations"
          }

          testProperty "RandomResizedCrop returns its size for every image"
          <| fun (seed: int) (width: byte) (height: byte) ->
              let image = Image.blank (int width + 1) (int height + 1)
              sides (Augment.step (stream seed) image (RandomResizedCrop(0.08, 1.0, 16))) = (16, 16)

          test "RandomResizedCrop crops within its bounds of area and aspect ratio" {
              // The range of x and y in the result is the crop's size. Resizing blurs it by less than 2 pixels per side.
              let image = map 200 200

              for seed in 1..200 do
                  let part = Augment.step (stream seed) image (RandomResizedCrop(0.25, 0.5, 64))

                  let range offset =
                      part.Pixels
                      |> Array.indexed
                      |> Array.filter (fun (i, _) -> i % 3 = offset)
                      |> Array.map (snd >> float)

                  let spread values = Array.max values - Array.min values
                  let width, height = spread (range 0), spread (range 1)
                  Expect.isGreaterThan ((width + 4.0) * (height + 4.0)) (0.25 * 40000.0 * 0.98) "at least a quarter"
                  Expect.isLessThan ((width - 1.0) * (height - 1.0)) (0.5 * 40000.0 * 1.02) "at most a half"
                  Expect.isLessThan (width / height) (4.0 / 3.0 * 1.08) "not too wide"
                  Expect.isGreaterThan (width / height) (3.0 / 4.0 / 1.08) "not too tall"
          }

          test "RandomResizedCrop of a very elongated image crops the centre" {
              let part = Augment.step (stream 1) (map 250 3) (RandomResizedCrop(0.9, 1.0, 4))
              let x = int part.Pixels[3 * 2]
              Expect.isLessThan (abs (x - 125)) 4 "about the centre"
          }

          test "ResizeShort and CentreCrop follow torchvision's rounding" {
              Expect.equal (sides (Augment.step (stream 1) (map 50 75) (ResizeShort 20))) (20, 30) "tall"
              Expect.equal (sides (Augment.step (stream 1) (map 75 50) (ResizeShort 20))) (30, 20) "wide"

              Expect.equal
                  (sides (Augment.step (stream 1) (map 33 50) (ResizeShort 20)))
                  (20, 30)
                  "20·50/33 is truncated to 30"

              let part = Augment.step (stream 1) (map 9 8) (CentreCrop 4)
              // (9 − 4)/2 = 2.5 rounds to 2, (8 − 4)/2 = 2: the first pixel is (x, y) = (3, 3), counted from 1.
              Expect.equal (Array.truncate 2 part.Pixels) [| 3uy; 3uy |] "starts at 2, 2"
          }

          test "CentreCrop pads a smaller image" {
              let padded = Augment.step (stream 1) (flat 9uy) (CentreCrop 8)
              Expect.equal (sides padded) (8, 8) "the size"
              Expect.equal (padded.Pixels |> Array.filter ((=) 9uy) |> Array.length) 48 "it contains the image"
          }

          test "Corrected lighting shifts all pixels of a channel equally, by about 0.02 of white" {
              let shifts =
                  [ for seed in 1..500 ->
                        let lit = Augment.step (stream seed) (flat 100uy) (Lighting(0.1, Corrected))

                        Expect.equal
                            (Array.distinct (Array.indexed lit.Pixels |> Array.map (fun (i, v) -> i % 3, v))).Length
                            3
                            "one value per channel"

                        float lit.Pixels[0] - 100.0 ]

              // Channel R: 0.1 · 255 · √((.5675·.2175)² + (.7192·.0188)² + (.4009·.0045)²) = 3.17.
              let deviation = sqrt (List.averageBy (fun shift -> shift * shift) shifts)
              Expect.isLessThan (abs (deviation - 3.17)) 0.4 "the standard deviation of red"
          }

          test "Published lighting changes bytes only by truncating a shift below 1" {
              for seed in 1..200 do
                  let lit = Augment.step (stream seed) (flat 100uy) (Lighting(0.1, Published))

                  for value in lit.Pixels do
                      Expect.isTrue (value = 100uy || value = 99uy) "100 + 0.02 is truncated to 100, 100 − 0.02 to 99"
          }

          test "lighting clamps white and black" {
              for seed in 1..100 do
                  for mode in [ Published; Corrected ] do
                      let white = Augment.step (stream seed) (flat 255uy) (Lighting(0.1, mode))
                      let black = Augment.step (stream seed) (flat 0uy) (Lighting(0.1, mode))
                      Expect.isGreaterThan (Array.min white.Pixels) 200uy "no overflow"
                      Expect.isLessThan (Array.max black.Pixels) 55uy "no underflow"
          }

          for augmentation in [ Augmentation.cifar; Augmentation.imageNet Corrected 24; Augmentation.none ] do
              test $"%A{augmentation.Train} is deterministic for a stream" {
                  let image = noise (stream 0) 32 32
                  let run seed = ok (Augment.run augmentation.Train (stream seed) image)
                  Expect.equal (run 3) (run 3) "same result"
              } ]
