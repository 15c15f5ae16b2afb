module NormFree.Tests.Data.DecodeTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private fixtures = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures")

let private reason bytes = error (Decode.image bytes)

let private smooth width height =
    { Width = width
      Height = height
      Pixels =
        [| for y in 1..height do
               for x in 1..width do
                   yield! [ byte (4 * x); byte (4 * y); 128uy ] |] }

/// A baseline JPEG of one flat 8×8 block of CMYK in Adobe's convention: 255 means no ink.
let private cmykJpeg (inks: int list) =
    let segment marker (data: int list) = [ 0xFF; marker; 0; data.Length + 2 ] @ data

    // Codes of equal length: DC categories 0 … 11 in 4 bits, end of block in 1 bit.
    let dc = segment 0xC4 ([ 0x00; 0; 0; 0; 12 ] @ List.replicate 12 0 @ [ 0..11 ])
    let ac = segment 0xC4 ([ 0x10; 1 ] @ List.replicate 15 0 @ [ 0 ])

    let bits (width: int) (value: int) = [ for i in width - 1 .. -1 .. 0 -> (value >>> i) &&& 1 ]

    // With a quantiser of 8, the DC coefficient equals the level.
    let block ink =
        let level = ink - 128

        let category =
            if level = 0 then
                0
            else
                32 - Numerics.BitOperations.LeadingZeroCount(uint32 (abs level))

        bits 4 category @ bits category (if level < 0 then level + (1 <<< category) - 1 else level) @ [ 0 ]

    let scan =
        List.collect block inks @ List.replicate 7 1
        |> List.chunkBySize 8
        |> List.filter (fun chunk -> chunk.Length = 8)
        |> List.map (List.fold (fun value bit -> 2 * value + bit) 0)
        |> List.collect (fun value -> if value = 0xFF then [ 0xFF; 0 ] else [ value ])

    let components = [ 1..4 ]

    [ 0xFF; 0xD8 ]
    @ segment 0xEE ([ for c in "Adobe" -> int c ] @ [ 0; 100; 0; 0; 0; 0; 0 ])
    @ segment 0xDB (0 :: List.replicate 64 8)
    @ segment 0xC0 ([ 8; 0; 8; 0; 8; 4 ] @ List.collect (fun id -> [ id; 0x11; 0 ]) components)
    @ dc
    @ ac
    @ segment 0xDA (4 :: List.collect (fun id -> [ id; 0x00 ]) components @ [ 0; 63; 0 ])
    @ scan
    @ [ 0xFF; 0xD9 ]
    |> List.map byte
    |> Array.ofList

let private near (expected: int list) (image: Image) =
    for i, value in Array.indexed image.Pixels do
        Expect.isLessThanOrEqual (abs (int value - expected[i % 3])) 2 "the colour"

let tests =
    testList
        "decoding"
        [ test "a PNG of 8-bit RGB is decoded exactly" {
              let image = noise (RandomStream.OfKeys 1L) 13 7
              Expect.equal (ok (Decode.image (png image))) image "the image"
          }

          test "a JPEG is decoded with a small error" {
              let image = smooth 40 32
              let decoded = ok (Decode.image (jpeg 95 image))
              Expect.equal (decoded.Width, decoded.Height) (40, 32) "width and height"

              let error =
                  Array.map2 (fun (a: byte) (b: byte) -> abs (float a - float b)) image.Pixels decoded.Pixels
                  |> Array.average

              Expect.isLessThan error 4.0 "mean difference"
          }

          test "a greyscale PNG becomes RGB" {
              let file = pngOf 3 2 8 0 (fun y -> [| byte y; 100uy; 200uy |])

              let expected =
                  [| for y in 0uy .. 1uy do
                         for value in [ y; 100uy; 200uy ] do
                             yield! [ value; value; value ] |]

              Expect.equal (ok (Decode.image file)).Pixels expected "each grey three times"
          }

          test "16 bits per channel become 8" {
              let file =
                  pngOf 2 1 16 2 (fun _ -> [| 10uy; 0uy; 20uy; 0uy; 30uy; 0uy; 40uy; 0uy; 50uy; 0uy; 60uy; 0uy |])

              Expect.equal (ok (Decode.image file)).Pixels [| 10uy; 20uy; 30uy; 40uy; 50uy; 60uy |] "the high bytes"
          }

          test "alpha is dropped without blending" {
              let file = pngOf 2 1 8 6 (fun _ -> [| 200uy; 100uy; 50uy; 0uy; 7uy; 8uy; 9uy; 128uy |])
              Expect.equal (ok (Decode.image file)).Pixels [| 200uy; 100uy; 50uy; 7uy; 8uy; 9uy |] "no blending"
          }

          test "a CMYK JPEG becomes RGB" {
              near [ 200; 100; 50 ] (ok (Decode.image (cmykJpeg [ 200; 100; 50; 255 ])))
              near [ 100; 50; 25 ] (ok (Decode.image (cmykJpeg [ 200; 100; 50; 128 ])))
          }

          test "a greyscale JPEG becomes RGB" {
              use bitmap = new SkiaSharp.SKBitmap(8, 8, SkiaSharp.SKColorType.Gray8, SkiaSharp.SKAlphaType.Opaque)
              bitmap.Erase(SkiaSharp.SKColor(90uy, 90uy, 90uy))
              use data = bitmap.Encode(SkiaSharp.SKEncodedImageFormat.Jpeg, 90)
              near [ 90; 90; 90 ] (ok (Decode.image (data.ToArray())))
          }

          test "bytes that are not an image are an error" {
              contains [ "5 bytes"; "not an image" ] (reason "hello"B)
              contains [ "0 bytes" ] (reason [||])
          }

          test "a truncated file is an error at any length" {
              let image = noise (RandomStream.OfKeys 2L) 64 64

              for file in [ png image; jpeg 80 image ] do
                  for share in [ 5; 20; 50; 90; 99 ] do
                      reason (Array.truncate (file.Length * share / 100) file) |> ignore
          }

          test "a JPEG that is truncated and then closed with an end marker is an error" {
              let file = jpeg 80 (noise (RandomStream.OfKeys 2L) 64 64)

              for share in [ 20; 35; 50; 65; 80; 95 ] do
                  let closed = Array.append (Array.truncate (file.Length * share / 100) file) [| 0xFFuy; 0xD9uy |]
                  contains [ "truncated"; "ends early" ] (reason closed)
          }

          test "a JPEG with a zeroed tail is an error" {
              let file = jpeg 80 (noise (RandomStream.OfKeys 2L) 64 64)

              for share in [ 20; 35; 50; 65; 80; 95 ] do
                  let kept = Array.truncate (file.Length * share / 100) file
                  let zeroed = Array.append kept (Array.zeroCreate (file.Length - kept.Length))
                  contains [ "truncated"; "no end marker" ] (reason zeroed)
          }

          test "a JPEG with zeros in place of a part of its data is an error, with an end marker too" {
              let file = jpeg 80 (noise (RandomStream.OfKeys 2L) 64 64)
              let length = file.Length - 2

              for first, last in [ 35, 100; 50, 100; 65, 100; 80, 100; 40, 60; 60, 65 ] do
                  let zeroed = Array.copy file
                  let first, last = length * first / 100, length * last / 100
                  Array.Clear(zeroed, first, last - first)
                  reason zeroed |> ignore
          }

          test "zeros between a JPEG's data and its end marker are ignored" {
              let file = jpeg 80 (noise (RandomStream.OfKeys 2L) 64 64)
              let padded = Array.insertManyAt (file.Length - 2) (Array.zeroCreate 500) file
              Expect.equal (Decode.image padded) (Decode.image file) "pixels"
          }

          test "a JPEG of one colour is not taken for one with missing data" {
              let image = Image.blank 2000 2000
              Expect.isTrue (Decode.image (jpeg 80 image)).IsOk "a baseline JPEG"
          }

          test "a WebP that lacks bytes in the middle is an error" {
              let file = File.ReadAllBytes(Path.Combine(fixtures, "images", "picture.webp"))
              contains [ "ends early" ] (reason (Array.removeManyAt (file.Length / 2) 16 file))
          }

          test "a GIF with a zeroed tail is an error" {
              let file = File.ReadAllBytes(Path.Combine(fixtures, "images", "animated.gif"))
              let kept = Array.truncate (file.Length / 2) file
              contains [ "ends early" ] (reason (Array.append kept (Array.zeroCreate (file.Length - kept.Length))))
          }

          for name, part in [ "f_zero0.5.jpg", "no end marker"; "c_cut0.5_eoi.jpg", "ends early" ] do
              test $"the damaged {name} is an error" {
                  contains
                      [ "truncated"; part ]
                      (reason (File.ReadAllBytes(Path.Combine(fixtures, "images", "damaged", name))))
              }

          test "bytes after a JPEG's end marker are ignored" {
              let file = jpeg 80 (noise (RandomStream.OfKeys 2L) 64 64)
              Expect.equal (Decode.image (Array.append file (randomBytes 1 1000))) (Decode.image file) "pixels"
          }

          test "Encode and Decode are inverse" {
              let image = noise (RandomStream.OfKeys 4L) 13 7
              Expect.equal (Decode.image (Encode.png image)) (Ok image) "pixels"
          }

          test "a too large image is an error before its pixels are allocated" {
              let file = pngOf 20000 20000 8 0 (fun _ -> [||])
              let before = GC.GetAllocatedBytesForCurrentThread()
              contains [ "20000×20000"; "100 million" ] (reason file)
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
          }

          for name, file in
              [ "PNG", lazy png (noise (RandomStream.OfKeys 3L) 16 16)
                "JPEG", lazy jpeg 80 (noise (RandomStream.OfKeys 3L) 16 16) ] do
              testProperty $"a damaged {name} gives an image or an error, never an exception"
              <| fun (seed: int) -> Decode.image (mutate seed file.Value) |> ignore ]
