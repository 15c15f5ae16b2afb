/// Files that the tool writes and reads: imports, exports, packed files and summaries.
module NormFree.Tests.Cli.RoundTripFileTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Golden
open NormFree.Tests.Training
open TorchSharp

/// The fixture of an import: a network of the reference, and PyTorch's logits for its images.
let private imported =
    lazy
        (let path = Tool.scratch.File "imported.safetensors"
         let net = "--arch reactnet-small --width 0.34 --stem cifar --classes 10"
         let file = Archives.PyTorchFixtures.fixturePath "small-bn-free.pth"
         path, Tool.runLine $"import --pytorch {file} {net} --out {path}" |> Tool.succeeds)

let interop =
    testList
        "import and export"
        [ test "a PyTorch file becomes a checkpoint with PyTorch's logits" {
              let checkpoint, result = imported.Value
              Expect.stringContains result.Out "reactnet-small: 62 tensors loaded" "output"
              use _ = torch.NewDisposeScope()
              let input, output = Tool.scratch.File "waves.safetensors", Tool.scratch.File "waves.logits.safetensors"
              let images = Interop.Support.waves 2 32

              SafetensorsWriter()
                  .Add("input", DType.F64, ReadOnlySpan images.shape, ReadOnlyMemory(Support.bits images))
                  .Save
                  input

              Tool.runLine $"predict --checkpoint {checkpoint} --input {input} --output {output} --precision float64"
              |> Tool.succeeds
              |> ignore

              use file = SafetensorsFile.Open output
              let expected = GoldenFiles.floats "logits" (Archives.PyTorchTests.expected "small-bn-free").Value
              Agreement.allClose Closeness.tight (torch.tensor (file.ReadAsDouble file["logits"])) expected "logits"
          }

          test "a partial import says what it accepted" {
              let out = Tool.scratch.File "partial.safetensors"
              let file = Archives.PyTorchFixtures.fixturePath "small-bn-free.pth"
              let net = "--arch reactnet-small --width 0.34 --stem cifar --classes 7"
              let result = Tool.runLine $"import --pytorch {file} {net} --partial --out {out}" |> Tool.succeeds

              for words in [ "60 tensors loaded"; "--partial"; "fc.weight: [10, 32] of F32 in the file, [7, 32]" ] do
                  Expect.stringContains result.Out words "output"
          }

          for format, options, difference in
              [ "pytorch", "", "largest difference: 0 (equal bit for bit)"
                "safetensors", "", "largest difference: 0 (equal bit for bit)"
                "onnx", "", "compared: logits of the file in the ONNX runtime with the network's"
                "onnx", " --dynamic-batch", "compared: logits of the file in the ONNX runtime with the network's"
                "packed", "", "0 of 12288 signs differ, 0 weights of 0 became +1" ] do
              test $"export as {format}{options} prints the largest difference" {
                  let out = Tool.scratch.File $"exported{options.Length}.{format}"
                  let checkpoint = fst imported.Value

                  let result =
                      Tool.runLine $"export --checkpoint {checkpoint} --format {format} --out {out}{options}"
                      |> Tool.succeeds

                  Expect.stringContains result.Out difference "output"
                  Expect.isTrue (File.Exists out) "file"
              }

          test "an exported file is imported to the same checkpoint" {
              let out, again = Tool.scratch.File "there.pth", Tool.scratch.File "back.safetensors"

              Tool.runLine $"export --checkpoint {fst imported.Value} --format pytorch --out {out}"
              |> Tool.succeeds
              |> ignore

              let net = "--arch reactnet-small --width 0.34 --stem cifar --classes 10"
              Tool.runLine $"import --pytorch {out} {net} --out {again}" |> Tool.succeeds |> ignore
              Support.sameBits (Support.fileBits (fst imported.Value)) (Support.fileBits again) "checkpoint"
          } ]

let packed =
    testList
        "verify"
        [ test "a packed file computes what its checkpoint does" {
              let files = $"--checkpoint {Tool.checkpoint.Value} --packed {Tool.packed.Value}"
              let result = Tool.runLine $"verify {files} --images 1" |> Tool.succeeds
              Expect.stringContains result.Out "| layer3.2.binary_conv |" "a line a layer"
              Expect.stringContains result.Out "weights of exactly 0  0" "zeros"
          }

          test "both networks have the same accuracy on a data set, as JSON" {
              let files = $"--checkpoint {Tool.checkpoint.Value} --packed {Tool.packed.Value}"
              let result = Tool.runLine $"verify {files} --dataset synthetic --test-limit 20 --json" |> Tool.succeeds
              let json = nonNull (JsonNode.Parse result.Out)
              let field (name: string) (node: JsonNode) = nonNull node[name]
              Expect.isTrue ((field "agrees" json).GetValue<bool>()) "agrees"

              for name in [ "composite"; "packed" ] do
                  Expect.equal ((json |> field name |> field "images").GetValue<int>()) 20 $"images of {name}"

              let loss name = (json |> field name |> field "loss").GetValue<float>()
              Expect.isLessThan (abs (loss "composite" - loss "packed")) 1e-2 "loss"
              Expect.equal ((json |> field "report" |> field "images").GetValue<int>()) 2 "images of layers"
          } ]

let summaries =
    testList
        "summary"
        [ for name, _ in Architecture.all do
              test $"of {name} as JSON" {
                  let json = Tool.runLine $"summary --arch {name} --json" |> Tool.succeeds
                  Expect.isNotNull ((nonNull (JsonNode.Parse json.Out))["Total"]) "total"
              }

          test "as a table" {
              let table = Tool.runLine "summary" |> Tool.succeeds
              Expect.stringContains table.Out "predicted packed size" "table"
          } ]
