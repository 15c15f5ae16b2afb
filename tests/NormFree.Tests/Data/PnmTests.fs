/// Netpbm images, as text and as bytes. Pillow's files are among the fixtures.
module NormFree.Tests.Data.PnmTests

open System
open System.Text
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private ascii (text: string) = Encoding.ASCII.GetBytes text

/// The red, green and blue of each pixel.
let private decode bytes = (ok (Decode.image bytes)).Pixels |> Array.chunkBySize 3 |> List.ofArray

let private grey (values: int list) = [ for value in values -> Array.create 3 (byte value) ]

let tests =
    testList
        "Netpbm"
        [ for what, bytes, expected in
              [ "P1 with and without spaces", ascii "P1\n# a comment\n3 2\n1 0 1\n010", grey [ 0; 255; 0; 255; 0; 255 ]
                "P2", ascii "P2 2 1 255\n7 200\n", grey [ 7; 200 ]
                "P2 with another largest value", ascii "P2 3 1 15 0 15 6", grey [ 0; 255; 102 ]
                "P3", ascii "P3 1 1 255 1 2 3", [ [| 1uy; 2uy; 3uy |] ]
                "P4",
                Array.append (ascii "P4\n9 1\n") [| 0b10100000uy; 0b10000000uy |],
                grey [ 0; 255; 0; 255; 255; 255; 255; 255; 0 ]
                "P5", Array.append (ascii "P5\n2 1\n255\n") [| 9uy; 10uy |], grey [ 9; 10 ]
                "P5 of 16 bits", Array.append (ascii "P5 2 1 65535\n") [| 128uy; 0uy; 255uy; 255uy |], grey [ 128; 255 ]
                "P6", Array.append (ascii "P6\n#c\n1 1\n255\n") [| 9uy; 10uy; 11uy |], [ [| 9uy; 10uy; 11uy |] ] ] do
              test $"{what} is read" { Expect.equal (decode bytes) expected "pixels" }

              test $"{what} without its last byte is truncated" {
                  let cut =
                      Array.truncate (bytes.Length - 1) bytes
                      |> fun bytes -> if what = "P2" then Array.truncate (bytes.Length - 4) bytes else bytes

                  contains [ "truncated" ] (error (Decode.image cut))
              }

              testPropertyWithConfig
                  { FsCheckConfig.defaultConfig with maxTest = 40 }
                  $"a damaged {what} gives an image or an error"
              <| fun (seed: int) -> Decode.image (mutate seed bytes) |> ignore

          test "a header without its data allocates nothing" {
              let before = GC.GetAllocatedBytesForCurrentThread()
              contains [ "truncated" ] (error (Decode.image (ascii "P6 9999 9999 255\nxx")))
              contains [ "100 million" ] (error (Decode.image (ascii "P6 99999 9999 255\nxx")))
              contains [ "header" ] (error (Decode.image (ascii "P6 0 5 255\nxx")))
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
          } ]
