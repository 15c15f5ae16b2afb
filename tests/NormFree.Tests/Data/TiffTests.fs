/// TIFF files that are damaged, hostile or of kinds that are not decoded. Those that are decoded are in ImageKindTests.
module NormFree.Tests.Data.TiffTests

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

/// The type of four-byte numbers, and the tags of fields that the tests change.
let private long = 4

let (private width,
     height,
     bits,
     compression,
     photometric,
     offsets,
     samples,
     rowsPerStrip,
     lengths,
     tileWidth,
     tileHeight,
     tileOffsets,
     sampleFormat) =
    256, 257, 258, 259, 262, 273, 277, 278, 279, 322, 323, 324, 339

/// A grey image of 4×4 bytes, in one strip.
let private plain =
    [ width, [ 4u ]
      height, [ 4u ]
      bits, [ 8u ]
      compression, [ 1u ]
      photometric, [ 1u ]
      offsets, [ 8u ]
      rowsPerStrip, [ 4u ]
      lengths, [ 16u ] ]

/// A TIFF of these fields, with data after the header.
let private write (data: byte[]) (fields: (int * uint32 list) list) =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    let directory = 8 + data.Length
    let mutable after = directory + 2 + 12 * fields.Length + 4
    writer.Write "II*\000"B
    writer.Write directory
    writer.Write data
    writer.Write(int16 fields.Length)
    let more = List<byte>()

    for tag, values in fields do
        writer.Write(int16 tag)
        writer.Write(int16 long)
        writer.Write values.Length

        if values.Length = 1 then
            writer.Write values.Head
        else
            writer.Write(after + more.Count)
            values |> List.iter (BitConverter.GetBytes >> more.AddRange)

    writer.Write 0
    writer.Write(more.ToArray())
    stream.ToArray()

let private square = Array.init 16 (fun i -> byte (10 * i))

/// The plain image with other or further fields.
let private withFields changes =
    let changed = dict changes

    let kept = plain |> List.filter (fun (tag, _) -> not (changed.ContainsKey tag))
    write square (List.sortBy fst (kept @ changes))

/// Decodes with little memory and time, and returns the error.
let private refused (file: byte[]) =
    let before, clock = GC.GetAllocatedBytesForCurrentThread(), Stopwatch.StartNew()
    let text = error (Decode.image file)
    Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
    Expect.isLessThan clock.Elapsed.TotalSeconds 10.0 "seconds"
    text

let private limits =
    [ for what, changes, parts in
          [ "100000×100000 pixels", [ width, [ 100000u ]; height, [ 100000u ] ], [ "100000×100000"; "100 million" ]
            "four billion columns", [ width, [ UInt32.MaxValue ] ], [ "100 million" ]
            "no rows", [ height, [ 0u ] ], [ "contradict" ]
            "65535 samples for a pixel", [ samples, [ 65535u ] ], [ "65535 samples"; "16" ]
            "more strips than it stores", [ rowsPerStrip, [ 1u ] ], [ "contradict" ]
            "tiles of 65536×65536 pixels",
            [ tileWidth, [ 65536u ]; tileHeight, [ 65536u ]; tileOffsets, [ 8u ]; 325, [ 16u ] ],
            [ "4294967296 bytes"; "400 MB" ]
            "one-pixel tiles for 100 million pixels",
            [ width, [ 10000u ]
              height, [ 10000u ]
              tileWidth, [ 1u ]
              tileHeight, [ 1u ]
              tileOffsets, [ 8u ]
              325, [ 1u ] ],
            [ "contradict" ]
            "colours of a palette that is missing", [ photometric, [ 3u ] ], [ "contradict" ]
            "three colours in one sample", [ photometric, [ 2u ] ], [ "contradict" ] ] do
          test $"a TIFF of {what} is rejected before anything is allocated" {
              contains parts (refused (withFields changes))
          }

      test "a directory of too many fields is rejected" {
          contains [ "1025 fields"; "1024" ] (refused (write square [ for tag in 1..1025 -> tag, [ 0u ] ]))
      }

      test "a field that claims more values than the file has bytes is rejected" {
          let file = withFields [ 40000, [ 1u; 2u ] ]
          let count = file.AsSpan().LastIndexOf(ReadOnlySpan [| 0x40uy; 0x9Cuy; 4uy; 0uy |]) + 4
          BitConverter.GetBytes(UInt32.MaxValue).CopyTo(file, count)
          contains [ "truncated" ] (refused file)
      }

      test "fields that claim the same bytes again and again are rejected" {
          let field = [ for i in 1u .. 100u -> i ]
          let file = write square (plain @ [ for tag in 40000..40009 -> tag, field ])
          // All of them at the place of the first.
          let directory = 8 + square.Length
          let at index = directory + 2 + 12 * index + 8

          for index in plain.Length + 1 .. plain.Length + 9 do
              Array.Copy(file, at plain.Length, file, at index, 4)

          contains [ "truncated" ] (refused (Array.truncate (file.Length - 3600) file))
      } ]

/// Scanners and Pillow write whole images as one strip.
let private oneStrip =
    test "an uncompressed image of one long strip is read" {
        let pixels = Array.init 90_000 byte

        let file =
            write
                pixels
                [ width, [ 200u ]
                  height, [ 150u ]
                  bits, [ 8u; 8u; 8u ]
                  compression, [ 1u ]
                  photometric, [ 2u ]
                  offsets, [ 8u ]
                  samples, [ 3u ]
                  rowsPerStrip, [ 150u ]
                  lengths, [ 90_000u ] ]

        Expect.equal (ok (Decode.image file)).Pixels pixels "pixels"
    }

let private unsupported =
    [ for what, changes, part in
          [ "floating-point samples", [ bits, [ 32u ]; sampleFormat, [ 3u ] ], "floating-point samples"
            "samples of 12 bits", [ bits, [ 12u ] ], "12 bits"
            "Zstandard", [ compression, [ 50000u ] ], "Zstandard"
            "WebP", [ compression, [ 50001u ] ], "WebP"
            "JPEG of the old style", [ compression, [ 6u ] ], "old-style JPEG"
            "an unknown compression", [ compression, [ 12345u ] ], "12345"
            "CIE L*a*b*", [ photometric, [ 8u ] ], "L*a*b*"
            "YCbCr without JPEG", [ photometric, [ 6u ] ], "YCbCr" ] do
          test $"a TIFF with {what} is rejected with its kind and a remedy" {
              contains [ part; "not supported"; "PNG or JPEG" ] (refused (withFields changes))
          } ]

let private fixture name = File.ReadAllBytes(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "images", name))

let private damaged =
    [ test "the plain image decodes" {
          let image = ok (Decode.image (withFields []))
          Expect.equal (image.Width, image.Height) (4, 4) "size"
          Expect.equal image.Pixels (Array.collect (Array.replicate 3) square) "grey"
      }

      test "a strip that ends early is detected" {
          contains [ "truncated" ] (refused (withFields [ lengths, [ 10u ] ]))
          contains [ "truncated" ] (refused (withFields [ offsets, [ 1000000u ] ]))
      }

      for name in [ "rgb.tif"; "lzw.tif"; "jpeg.tif"; "tiles.tif"; "bigtiff.tif"; "fax.tif" ] do
          test $"{name} that is cut anywhere is an error" {
              let bytes = fixture name
              // The last byte may be padding.
              for length in 4..7 .. bytes.Length - 2 do
                  error (Decode.image (Array.truncate length bytes)) |> ignore
          }

      test "the image data of a JPEG in a TIFF is not replaced by grey" {
          let bytes = fixture "jpeg.tif"
          let scan = bytes.AsSpan().LastIndexOf(ReadOnlySpan [| 0xFFuy; 0xDAuy |])
          // Fewer bytes of the scan, with an end marker.
          bytes[scan + 30] <- 0xFFuy
          bytes[scan + 31] <- 0xD9uy
          contains [ "truncated" ] (error (Decode.image bytes))
      }

      test "nothing is printed about damaged files" {
          let out = Console.Error
          use text = new StringWriter()
          Console.SetError text

          try
              for seed in 1..200 do
                  Decode.image (mutate seed (fixture "lzw.tif")) |> ignore
          finally
              Console.SetError out

          Expect.equal (text.ToString()) "" "nothing"
      } ]

let tests =
    testList
        "TIFF"
        [ oneStrip
          testList "limits" limits
          testList "unsupported" unsupported
          testList "damaged" damaged ]
