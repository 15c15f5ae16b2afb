module NormFree.Tests.Interop.ImportTests

open System
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Data
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Archives
open NormFree.Tests.Golden
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training
open TorchSharp

let private logitsOf name = GoldenFiles.floats "logits" (NormFree.Tests.Archives.PyTorchTests.expected name).Value

let private fixtures =
    testList
        "a fixture"
        [ for what, file, name, norm, renamed in
              [ "of the reference in the zip format", "small-bn-free.pth", "small-bn-free", BnFree 0.2, false
                "with the original repository's flat weights under module., in the stream format",
                "small-original.pth.tar",
                "small-original",
                BatchNorm,
                true ] do
              test $"{what} gives PyTorch's logits in float64" {
                  use _ = torch.NewDisposeScope()
                  use file = ForeignFile.OpenPyTorch(NormFree.Tests.Archives.PyTorchFixtures.fixturePath file)
                  let network, report = imported Strict (small norm) file
                  use network = network
                  Expect.isTrue report.IsComplete "complete"
                  Expect.equal report.Loaded network.Tensors.Length "loaded"
                  Expect.equal report.Renamed.Length (if renamed then report.Loaded else 0) "renamed"
                  use twin = doubled network
                  Agreement.allClose Closeness.tight (logits twin (waves 2 32)) (logitsOf name) "logits"
              } ]

let private types =
    testList
        "types"
        [ test "float64 stays float64" {
              use folder = new TempFolder()
              use original = filled torch.ScalarType.Float64 (small BatchNorm)
              use file = original |> file folder List.singleton
              let network, _ = imported Strict original.Spec file
              use network = network
              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"
          }

          for dtype, stored in [ torch.ScalarType.Float16, DType.F16; torch.ScalarType.BFloat16, DType.BF16 ] do
              test $"{stored} becomes float32 exactly" {
                  use _ = torch.NewDisposeScope()
                  use folder = new TempFolder()
                  use original = filled f32 (small NoNorm)

                  // What the narrow type holds.
                  let narrow (bytes: byte[]) shape = (TensorBytes.toTensor DType.F32 shape bytes).``to`` dtype

                  use file =
                      original
                      |> file folder (fun (key, _, shape, bytes) ->
                          [ key, stored, shape, TensorBytes.ofTensor (narrow bytes shape) ])

                  let network, _ = imported Strict original.Spec file
                  use network = network

                  for (key, wide), (_, was) in List.zip network.Tensors original.Tensors do
                      Expect.equal wide.dtype f32 key
                      Expect.equal (Support.bits wide) (Support.bits ((was.``to`` dtype).``to`` f32)) key
              } ]

/// safetensors as other programs write it, byte by byte.
let private written (json: string) (data: byte[]) =
    let header = Text.Encoding.UTF8.GetBytes json
    Array.concat [ BitConverter.GetBytes(int64 header.Length); header; data ]

let private others =
    testList
        "safetensors of others"
        [ test "may have any order, no alignment, unknown metadata and empty tensors" {
              use folder = new TempFolder()

              let json =
                  """{"z":{"shape":[1],"data_offsets":[1,5],"dtype":"F32"},"empty":{"dtype":"F32","shape":[0,4],"data_offsets":[5,5]},"__metadata__":{"who":"knows","format":"pt"},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"""

              let path =
                  folder.Write("others.safetensors", written json (Array.append [| 9uy |] (BitConverter.GetBytes 2.5f)))

              use file = ForeignFile.OpenSafetensors path
              Expect.equal (file.Tensors |> List.map _.Key) [ "z"; "empty"; "a" ] "tensors"
              Expect.equal (file.Tensors[0].Read()) (BitConverter.GetBytes 2.5f) "values"
              Expect.equal (file.Tensors[1].Read()) [||] "none"
          } ]

let private values =
    testList
        "values"
        [ for what, value in [ "NaN", nanf; "infinity", infinityf ] do
              test $"of {what} are refused with the tensor's name, and accepted on demand" {
                  use folder = new TempFolder()
                  use original = filled f32 (small BatchNorm)

                  let change (key, dtype, shape, bytes: byte[]) =
                      if key = "bn1.running_var" then
                          BitConverter.TryWriteBytes(bytes.AsSpan 4, value) |> ignore

                      [ key, dtype, shape, bytes ]

                  use file = original |> file folder change
                  let report = refused Strict original.Spec file

                  Expect.equal
                      report.Problems
                      [ "with NaN, infinity or numbers beyond float32 (1):"; "  bn1.running_var" ]
                      "problems"

                  match Import.network { ImportRules.Default with AllowNonFinite = true } original.Spec file with
                  | Ok(network, report) ->
                      (network :> IDisposable).Dispose()
                      Expect.equal report.NonFinite [ "bn1.running_var" ] "report"
                  | Error report -> failtest $"{report}"
              } ]

let private overflow =
    test "a float64 value beyond the range of float32 is refused, because networks run in float32" {
        use folder = new TempFolder()
        use original = filled f32 (small BatchNorm)

        let change (key, dtype, shape, bytes: byte[]) =
            match key with
            | "bn1.running_var" ->
                let huge = Array.create (bytes.Length / 4) 1e300 |> Array.collect BitConverter.GetBytes
                [ key, DType.F64, shape, huge ]
            | _ -> [ key, dtype, shape, bytes ]

        use file = original |> file folder change
        Expect.equal (refused Strict original.Spec file).NonFinite [ "bn1.running_var" ] "the tensor"
    }

let private tasks =
    testList
        "the task"
        [ for size, steps in
              [ 32, []
                64, []
                128, [ ResizeShort 146; CentreCrop 128 ]
                224, [ ResizeShort 256; CentreCrop 224 ] ] do
              test $"of {size} pixels has the published preprocessing" {
                  Expect.equal (Import.task (small NoNorm) size).Preprocessing steps "steps"
              } ]

let tests =
    testList "Import" [ fixtures; ImportKeyTests.tests; types; values; overflow; tasks; others; ExportTests.tests ]
