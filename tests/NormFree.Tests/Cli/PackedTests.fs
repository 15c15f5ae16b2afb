/// The tool on packed files.
module NormFree.Tests.Cli.PackedTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Formats.Safetensors
open NormFree.Inference.Files
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Training
open SkiaSharp
open TorchSharp

/// The tiny run's network as a packed file.
let private packed =
    lazy
        (let path = Tool.scratch.File "tiny.packed.safetensors"
         use checkpoint = Checkpoint.load torch.ScalarType.Float32 Tool.checkpoint.Value
         PackedFile.Write(path, (Packing.ofCheckpoint checkpoint).Model)
         path)

/// A picture of another size than the network's images.
let private picture =
    lazy
        (let path = Tool.scratch.File "picture.png"
         use bitmap = new SKBitmap(48, 40)
         let stream = RandomStream.OfSeed 8UL

         for y in 0..39 do
             for x in 0..47 do
                 let value () = byte (stream.Between(0.0, 255.0))
                 bitmap.SetPixel(x, y, SKColor(value (), value (), value ()))

         use data = bitmap.Encode(SKEncodedImageFormat.Png, 100)
         use file = File.Create path
         data.SaveTo file
         path)

let private predict arguments = Tool.run ("predict" :: arguments @ [ "--top"; "10"; picture.Value ])

let private images =
    [ test "a packed file classifies a picture, however it is named" {
          let shown = predict [ "--checkpoint"; packed.Value ] |> Tool.succeeds
          Expect.stringContains shown.Out "%" "probabilities"

          for arguments in
              [ [ "--packed"; packed.Value ]
                [ "--engine"; "packed"; "--checkpoint"; packed.Value ]
                [ "--engine"; "packed"; "--packed"; packed.Value ]
                [ "--packed"; packed.Value; "--threads"; "1" ]
                [ "--packed"; packed.Value; "--threads"; "1" ]
                [ "--engine"; "packed"; "--checkpoint"; Tool.checkpoint.Value ] ] do
              Expect.equal (predict arguments |> Tool.succeeds).Out shown.Out $"{arguments.Head}"
      }

      test "a prediction that is terminated ends soon and leaves nothing" {
          let path = Tool.scratch.Write("terminated/noise.png", png (noise (RandomStream.OfSeed 1UL) 600 600))

          let folder = Tool.scratch.File "terminated"

          Tool.terminateWhenRead 60_000_000L ("predict" :: "--packed" :: packed.Value :: List.replicate 2000 path)
          |> Tool.fails 1 [ "interrupted"; "Nothing is kept" ]

          Expect.equal (Directory.GetFileSystemEntries folder) [| path |] "files"
      }

      test "a prediction that is terminated in the middle of a run ends soon and leaves nothing" {
          let folder = Tool.scratch.File "terminated-run"
          Directory.CreateDirectory folder |> ignore
          let path, input = Path.Combine(folder, "slow.safetensors"), Path.Combine(folder, "input.safetensors")
          let output = Path.Combine(folder, "output.safetensors")
          PackedFile.Write(path, Models.slow)
          let shape = [| 20L; 3L; 256L; 256L |]
          let values = ReadOnlyMemory(Array.zeroCreate<byte>(20 * 3 * 256 * 256 * 4))
          SafetensorsWriter().Add("input", DType.F32, ReadOnlySpan shape, values).Save input

          // Loading takes less than 3 s of processor time, and the run ten or more.
          let result, time =
              Tool.terminateWhenBusy
                  (TimeSpan.FromSeconds 3.0)
                  [ "predict"; "--packed"; path; "--threads"; "1"; "--input"; input; "--output"; output ]

          result |> Tool.fails 1 [ "interrupted"; "Nothing is kept" ]
          Expect.isLessThan time (TimeSpan.FromSeconds 3.0) "time to end"
          Expect.equal (Array.sort (Directory.GetFileSystemEntries folder)) [| input; path |] "files"
      }

      test "from C# as well" {
          use network = Predictor.Load packed.Value
          use trained = Predictor.Load Tool.checkpoint.Value
          Expect.equal (network.Classes, network.Size) (trained.Classes, trained.Size) "classes and size"
          let struct (name, _) = network.Classify(picture.Value, 1)[0]
          Expect.contains network.Classes name "class"
      } ]

let private logits arguments =
    let input, output =
        Tool.scratch.File "packed-input.safetensors", Tool.scratch.File $"{Guid.NewGuid()}.safetensors"

    let images = Support.images torch.ScalarType.Float32 "packed" 3

    SafetensorsWriter().Add("input", DType.F32, ReadOnlySpan images.shape, ReadOnlyMemory(Support.bits images)).Save
        input

    Tool.run ("predict" :: arguments @ [ "--input"; input; "--output"; output ])
    |> Tool.succeeds
    |> ignore

    use file = SafetensorsFile.Open output
    Expect.equal (Seq.toList file["logits"].Shape) [ 3L; 10L ] "shape"
    file.ReadAsDouble file["logits"] |> Array.map float32

let private tensors =
    [ test "tensors give the composite network's logits" {
          let expected = logits [ "--checkpoint"; Tool.checkpoint.Value; "--engine"; "composite" ]

          for arguments in [ [ "--packed"; packed.Value ]; [ "--checkpoint"; packed.Value ] ] do
              let agreeing = InferenceTests.agreeing 10 expected (logits arguments)
              Expect.isGreaterThanOrEqual agreeing 2 "images that agree"
      } ]

let private evaluation =
    [ test "eval gives a packed network's accuracy" {
          let eval path engine =
              (Tool.run ([ "eval"; "--json"; "--test-limit"; "20"; "--checkpoint"; path ] @ engine)
               |> Tool.succeeds)
                  .Out

          let file = eval packed.Value []
          Expect.stringContains file "Top1" "accuracy"
          Expect.equal (eval Tool.checkpoint.Value [ "--engine"; "packed" ]) file "a checkpoint that is packed first"
      } ]

let private failures =
    [ for engine in [ "fused"; "composite" ] do
          test $"--engine {engine} is refused for a packed file" {
              predict [ "--checkpoint"; packed.Value; "--engine"; engine ]
              |> Tool.fails 1 [ "packed network"; "--engine" ]
          }

      test "so is float64" {
          Tool.run [ "predict"; "--packed"; packed.Value; "--precision"; "float64"; "--input"; "a"; "--output"; "b" ]
          |> Tool.fails 2 [ "float64"; "packed" ]
      }

      test "a checkpoint of real weights cannot be packed, and the error says what to do" {
          let stage1 = Path.Combine(fst Tool.tinyRun.Value, "stage1.last.safetensors")

          predict [ "--engine"; "packed"; "--checkpoint"; stage1 ]
          |> Tool.fails 1 [ "real weights"; "stage 2" ]
      }

      test "images that are too small are named" {
          let input = Tool.scratch.File "packed-small.safetensors"
          let values = Array.zeroCreate<byte> 12

          SafetensorsWriter().Add("input", DType.F32, ReadOnlySpan [| 1L; 3L; 1L; 1L |], ReadOnlyMemory values).Save
              input

          let output = Tool.scratch.File "packed-none.safetensors"

          Tool.run [ "predict"; "--packed"; packed.Value; "--input"; input; "--output"; output ]
          |> Tool.fails 1 [ "packed-small.safetensors"; "input" ]

          Expect.isFalse (File.Exists output) "output"
      } ]

let tests = testList "Packed" (images @ tensors @ evaluation @ failures)
