/// Images of all common kinds, created by tests/fixtures/images/make.py.
module NormFree.Tests.Data.ImageKindTests

open System
open System.IO
open System.Text.Json.Nodes
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private folder = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "images")
let private fixture name = File.ReadAllBytes(Path.Combine(folder, name))

let private expected =
    [ for KeyValue(name, what) in
          (nonNull (JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json"))))).AsObject() ->
          name, (nonNull what).AsObject() ]

let private number (what: JsonObject) (name: string) = (nonNull what[name]).GetValue<int>()

let private decoded (name, what: JsonObject) =
    test $"{name} decodes to Pillow's pixels" {
        let image = ok (Decode.image (fixture name))
        Expect.equal (image.Width, image.Height) (number what "width", number what "height") "width and height"
        let pixels = Convert.FromHexString((nonNull what["pixels"]).GetValue<string>())
        Expect.hasLength image.Pixels pixels.Length "three bytes per pixel"

        let largest =
            Array.map2 (fun (a: byte) (b: byte) -> abs (int a - int b)) image.Pixels pixels |> Array.max

        Expect.isLessThanOrEqual largest (number what "tolerance") "largest difference"
    }

let private kindOf (name: string) =
    match Path.GetExtension name with
    | ".jp2" -> "JPEG 2000"
    | other -> failtest $"{other} is decoded"

let private unsupported (name, _) =
    test $"{name} is rejected by its content, not by its name" {
        contains [ $"{kindOf name} file"; "PNG or JPEG" ] (error (Decode.image (fixture name)))
    }

/// The progressive image with its last scan repeated, and with sides in its header that are larger than its data.
let private withScans count side =
    let bytes = fixture "progressive.jpg"
    let isScan at = bytes[at] = 0xFFuy && bytes[at + 1] = 0xDAuy
    let starts = [ 0 .. bytes.Length - 2 ] |> List.filter isScan
    let last = Array.sub bytes (List.last starts) (bytes.Length - 2 - List.last starts)
    let more = Array.concat (List.replicate (count - starts.Length) last)

    let frame =
        [ 0 .. bytes.Length - 2 ] |> List.find (fun at -> bytes[at] = 0xFFuy && bytes[at + 1] = 0xC2uy)

    let sides = [| byte (side / 256); byte (side % 256) |]
    Array.blit (Array.append sides sides) 0 bytes (frame + 5) 4
    Array.concat [ Array.truncate (bytes.Length - 2) bytes; more; [| 0xFFuy; 0xD9uy |] ]

/// Loads nine 8×8 images, the fifth of which is this file. Expects the others unchanged and returns the reason for skipping it.
let private loading (bad: byte[]) (steps: Augment list) =
    let good i = noise (RandomStream.OfKeys(int64 i)) 8 8

    let source =
        { Count = 9
          Label = fun i -> i % 3
          Name = fun i -> $"{i}.png"
          Load = fun i -> if i = 4 then Decode.image bad else Ok(good i) }

    let options =
        { Loader.training (Synthetic.dataset 1L 10 10) 4 with Steps = steps; Side = 8; Workers = 2 }

    let read (source: ImageSource) =
        let reported = ResizeArray()

        let batches =
            Loader.read { options with Report = reported.Add } source (Loader.shuffled 5L 2 9) |> List.ofSeq

        // Each image's label and pixels, in order.
        [ for batch in batches do
              for i, index in Array.indexed batch.Indices do
                  index, (batch.Labels[i], Array.sub batch.Images (i * 192) 192) ],
        List.ofSeq reported

    let complete, none = read { source with Load = good >> Ok }
    Expect.isEmpty none "no reports for a complete source"
    let rest, reported = read source
    Expect.equal rest (complete |> List.filter (fun (index, _) -> index <> 4)) "the others: order, labels, pixels"
    let unreadable = List.exactlyOne reported
    Expect.equal (unreadable.Index, unreadable.Name, unreadable.Total) (4, "4.png", 1) "reported by name"
    unreadable.Reason

let private imageNet8 = Augmentation.imageNet Corrected 8

let private sizes =
    [ test "one pixel becomes a flat image" {
          let image = ok (Decode.image (fixture "one-pixel.png"))

          for steps in [ imageNet8.Train; imageNet8.Test; [ Resize 8 ] ] do
              let resized = ok (Augment.run steps (RandomStream.OfKeys 1L) image)
              Expect.equal (resized.Width, resized.Height) (8, 8) "size"
              Expect.hasLength (resized.Pixels |> Array.chunkBySize 3 |> Array.distinct) 1 "one colour"
      }

      for width, height, steps in
          [ 65536, 1, [ ResizeShort 256; CentreCrop 224 ]
            1, 65536, [ ResizeShort 256; CentreCrop 224 ]
            1, 20_000_000, [ Resize 224 ] ] do
          test $"{width}×{height} pixels are an error before {steps.Head} would make them too many" {
              let image = Image.blank width height
              let before = GC.GetAllocatedBytesForCurrentThread()
              let text = error (Augment.run steps (RandomStream.OfKeys 1L) image)
              contains [ $"{width}×{height}"; "100 million"; "proportions" ] text
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
          }

      for width, height in [ 65536, 1; 1, 65536; 4000, 3 ] do
          test $"{width}×{height} pixels can be cropped for training" {
              let resized = ok (Augment.run imageNet8.Train (RandomStream.OfKeys 1L) (Image.blank width height))
              Expect.equal (resized.Width, resized.Height) (8, 8) "size"
          } ]

let private skipped =
    [ for what, bad, steps, part in
          [ "that is truncated", lazy (Array.truncate 60 (fixture "rgb.png")), imageNet8.Train, "truncated"
            "that is not an image", lazy "hello"B, imageNet8.Train, "not an image"
            "that is empty", lazy [||], imageNet8.Train, "0 bytes"
            "that is a JPEG 2000", lazy (fixture "picture.jp2"), imageNet8.Train, "JPEG 2000"
            "that is huge", lazy (pngOf 20000 20000 8 0 (fun _ -> [||])), imageNet8.Train, "100 million"
            "that is elongated",
            lazy (pngOf 65536 1 8 0 (fun _ -> Array.zeroCreate 65536)),
            [ ResizeShort 100; CentreCrop 8 ],
            "proportions"
            "of another size without a resize", lazy (fixture "rgb.png"), [], "12×8" ] do
          test $"an image {what} is skipped and reported by name, and the others are unchanged" {
              contains [ part ] (loading bad.Value steps)
          } ]

let private hostile =
    [ test "a JPEG of too many scans is rejected before it is decoded" {
          contains [ "65 scans"; "64" ] (error (Decode.image (withScans 65 60000)))
      }

      test "the maximum number of scans takes seconds, and their missing data is detected" {
          let clock = Diagnostics.Stopwatch.StartNew()
          contains [ "truncated"; "ends early" ] (error (Decode.image (withScans 64 2000)))
          Expect.isLessThan clock.Elapsed.TotalSeconds 10.0 "seconds"
      }

      test "scan markers inside a segment are not counted" {
          let bytes = fixture "progressive.jpg"
          // A comment of 1000 scan markers.
          let comment = Array.concat (List.replicate 1000 [| 0xFFuy; 0xDAuy |])
          let segment = Array.append [| 0xFFuy; 0xFEuy; byte (2002 / 256); byte (2002 % 256) |] comment
          let commented = Array.concat [ Array.truncate 2 bytes; segment; Array.skip 2 bytes ]
          Expect.equal (Decode.image commented) (Decode.image bytes) "the same image"
      }

      test "images above 16 million pixels are decoded by one thread at a time" {
          let side = 4001
          let row = Array.create side 77uy
          let file = pngOf side side 8 0 (fun _ -> row)
          let contentions = Monitor.LockContentionCount
          use start = new Barrier 2

          inParallel 2 (fun _ ->
              start.SignalAndWait()
              let image = ok (Decode.image file)
              Expect.equal (image.Width, image.Height, image.Pixels[5]) (side, side, 77uy) "the image")

          Expect.isGreaterThan Monitor.LockContentionCount contentions "one thread waits for the other"
      }

      for name, _ in expected do
          testPropertyWithConfig
              { FsCheckConfig.defaultConfig with maxTest = 40 }
              $"a damaged {name} gives an image or an error, never an exception"
          <| fun (seed: int) -> Decode.image (mutate seed (fixture name)) |> ignore ]

let tests =
    let rejected, images = expected |> List.partition (fun (_, what) -> what.ContainsKey "refused")

    testList
        "image formats"
        [ testList "decoded" (List.map decoded images)
          testList "unsupported" (List.map unsupported rejected)
          testList "sizes" sizes
          testList "skipped" skipped
          testList "hostile" hostile ]
