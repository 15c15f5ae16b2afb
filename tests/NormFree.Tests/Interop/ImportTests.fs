module NormFree.Tests.Interop.ImportTests

open System
open System.IO
open Expecto
open NormFree.Archives.PyTorch
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
                  use file = ForeignFile.OpenPyTorch(NormFree.Tests.Archives.PyTorchTests.fixturePath file)
                  let network, report = imported Strict (small norm) file
                  use network = network
                  Expect.isTrue report.IsComplete "complete"
                  Expect.equal report.Loaded network.Tensors.Length "loaded"
                  Expect.equal report.Renamed.Length (if renamed then report.Loaded else 0) "renamed"
                  use twin = doubled network
                  Agreement.allClose Closeness.tight (logits twin (waves 2 32)) (logitsOf name) "logits"
              } ]

/// A safetensors file with a network's tensors, some of them changed.
let private file
    (folder: TempFolder)
    (change: (string * DType * int64[] * byte[]) -> (string * DType * int64[] * byte[]) list)
    (network: Network)
    =
    let path = folder.File "tensors.safetensors"
    let writer = SafetensorsWriter().Describe("format", "pt")

    for key, tensor in network.Tensors do
        for key, dtype, shape, bytes in
            change (key, TensorBytes.typeOf tensor.dtype, tensor.shape, TensorBytes.ofTensor tensor) do
            writer.Add(key, dtype, ReadOnlySpan shape, ReadOnlyMemory bytes) |> ignore

    writer.Save path
    ForeignFile.OpenSafetensors path

let private f32 = torch.ScalarType.Float32

let private keys =
    testList
        "keys"
        [ for prefix in
              [ "module."
                "module.module."
                "_orig_mod.module."
                "module._orig_mod."
                "model."
                "model._orig_mod."
                "model.module."
                "backbone."
                "student."
                "net."
                "a.prefix.of.its.own." ] do
              test $"may have the prefix {prefix}" {
                  use folder = new TempFolder()
                  use original = filled f32 (small (BnFree 0.2))

                  use file =
                      original |> file folder (fun (key, dtype, shape, bytes) -> [ prefix + key, dtype, shape, bytes ])

                  let network, report = imported Strict original.Spec file
                  use network = network
                  Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"
                  Expect.equal report.Renamed.Length original.Tensors.Length "renamed"
                  Expect.equal report.Prefix prefix "prefix"
              }

          test "may lie beside those of other modules, which are skipped, but not if the network is incomplete" {
              use folder = new TempFolder()
              use original = filled f32 (small (BnFree 0.2))

              let change lost (key, dtype, shape, bytes) =
                  match key with
                  | "fc.bias" when lost -> []
                  | "fc.bias" -> [ "model.fc.bias", dtype, shape, bytes; "criterion.weight", dtype, shape, bytes ]
                  | "conv1.weight" ->
                      [ "model.conv1.weight", dtype, shape, bytes
                        "model_ema.conv1.weight", dtype, shape, Array.zeroCreate bytes.Length
                        "n_averaged", dtype, shape, bytes ]
                  | _ -> [ "model." + key, dtype, shape, bytes ]

              use whole = original |> file folder (change false)
              let network, report = imported Strict original.Spec whole
              use network = network
              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"

              Expect.equal
                  (set report.Content.Skipped)
                  (set [ "criterion.weight"; "model_ema.conv1.weight"; "n_averaged" ])
                  "skipped"

              use part = original |> file folder (change true)
              Expect.isNonEmpty (refused Strict original.Spec part).Unexpected "unexpected"
          }

          test "of a student are preferred to those of its average" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)

              let change (key, dtype, shape, bytes: byte[]) =
                  [ "ema." + key, dtype, shape, Array.zeroCreate bytes.Length
                    "student_net." + key, dtype, shape, bytes ]

              use file = original |> file folder change
              let network, report = imported Strict original.Spec file
              use network = network
              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"
              Expect.equal report.Prefix "student_net." "prefix"
          }

          test "of another network show their common prefix" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)

              use file =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) -> [ $"encoder.{key}_", dtype, shape, bytes ])

              Expect.contains
                  (refused Strict original.Spec file).Problems
                  "every key of the file starts with 'encoder.'"
                  "problems"
          }

          test "that are missing, unexpected or of another shape are all listed" {
              use folder = new TempFolder()
              use original = filled f32 (small (BnFree 0.2))

              let change (key, dtype, shape, bytes) =
                  match key with
                  | "layer1.0.move0.bias"
                  | "fc.bias" -> []
                  | "conv1.weight" -> [ key, dtype, [| 8L; 27L |], bytes ]
                  | "fc.weight" -> [ key, DType.I32, shape, bytes ]
                  | "conv1.gain" ->
                      [ key, dtype, shape, bytes; "module.conv1.gain", dtype, shape, bytes; "ema", dtype, shape, bytes ]
                  | _ -> [ key, dtype, shape, bytes ]

              use file = original |> file folder change
              let report = refused Strict original.Spec file
              Expect.equal report.Missing [ "layer1.0.move0.bias"; "fc.bias" ] "missing"
              Expect.equal (set report.Unexpected) (set [ "module.conv1.gain"; "ema" ]) "unexpected"

              Expect.equal
                  (string report |> _.Split('\n') |> Array.toList)
                  [ "missing in the file (2):"
                    "  layer1.0.move0.bias"
                    "  fc.bias"
                    "unexpected in the file (2):"
                    "  ema"
                    "  module.conv1.gain"
                    "of another shape or type (2):"
                    "  conv1.weight: [8, 27] of F32 in the file, [8, 3, 3, 3] of real numbers in the network"
                    "  fc.weight: [10, 32] of I32 in the file, [10, 32] of real numbers in the network" ]
                  "lines"

              let network, partial = imported Partial original.Spec file
              use network = network
              Expect.equal partial report "the report of a partial import is the same"

              let differing = Support.differences (Support.tensorBits original) (Support.tensorBits network)
              Expect.equal (set differing) (set (report.Missing @ [ "conv1.weight"; "fc.weight" ])) "the rest is loaded"
          }

          test "that are unexpected by the thousand and hold terminal escapes are ten harmless lines and a count" {
              use folder = new TempFolder()
              use original = filled f32 (small (BnFree 0.2))

              let change (key, dtype, shape, bytes) =
                  match key with
                  | "fc.bias" -> [ for i in 1..1000 -> $"\u001b[2J\u202e{i}", dtype, shape, bytes ]
                  | _ -> [ key, dtype, shape, bytes ]

              use file = original |> file folder change
              let report = refused Strict original.Spec file
              Expect.hasLength report.Unexpected 1000 "unexpected"
              let lines = report.Problems |> List.skipWhile (fun line -> not (line.StartsWith "unexpected"))
              Expect.hasLength lines 12 "lines"
              Expect.equal (List.item 1 lines) "  \\u001b[2J\\u202e1" "a key"
              Expect.equal (List.last lines) "  and 990 more, 1000 in all" "count"
          }

          test "of counters of batches may all be absent, as in files from before PyTorch 0.4.1, but not some" {
              use folder = new TempFolder()
              use original = filled f32 (small BatchNorm)
              let isCounter (key: string) = key.EndsWith("num_batches_tracked", StringComparison.Ordinal)

              use old =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) ->
                      if isCounter key then [] else [ key, dtype, shape, bytes ])

              let network, report = imported Strict original.Spec old
              use network = network

              Expect.equal
                  report.Counters
                  (original.Tensors |> List.filter (fst >> isCounter) |> List.length)
                  "counters"

              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"

              use damaged =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) ->
                      if key = "bn1.num_batches_tracked" then [] else [ key, dtype, shape, bytes ])

              Expect.equal (refused Strict original.Spec damaged).Missing [ "bn1.num_batches_tracked" ] "missing"
          }

          test "of which none fits are refused by a partial import too" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)

              use file =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) -> [ "student/" + key, dtype, shape, bytes ])

              Expect.equal (refused Partial original.Spec file).Loaded 0 "loaded"
          }

          test "of the original repository are flat only where they say so" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)
              let flat (shape: int64[]) = [| Array.fold (*) 1L shape; 1L |]

              use file =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) ->
                      [ key, dtype, (if shape.Length = 4 then flat shape else shape), bytes ])

              Expect.isNonEmpty (refused Strict original.Spec file).Misshapen "misshapen"
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
                  Expect.equal report.Problems [ "with NaN or infinity (1):"; "  bn1.running_var" ] "problems"

                  match Import.network { ImportRules.Default with AllowNonFinite = true } original.Spec file with
                  | Ok(network, report) ->
                      (network :> IDisposable).Dispose()
                      Expect.equal report.NonFinite [ "bn1.running_var" ] "report"
                  | Error report -> failtest $"{report}"
              } ]

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

/// Networks of other papers, and random ones.
let private backbones =
    [ for net in
          [ BiRealNet.biReal18 { Width = 0.125; Depth = 0.5 } CifarStem
            VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 } CifarStem
            BinaryDenseNet.table "dense" 16 8 [ 2; 2 ] [ 1.5 ] CifarStem ] do
          for norm in [ BatchNorm; BnFree 0.2 ] do
              net |> Net.withClasses 10 |> Net.withNorm norm |> Net.withBinarise ActivationsAndWeights
      for seed in 1L .. 10L do
          NormFree.Tests.Spec.RandomSpecs.net seed ]

let private ofBackbones =
    [ for number, net in List.indexed backbones do
          test $"{number}: {net.Name}, {Names.norm net.Norm} comes back bit for bit, with plain and with flat filters" {
              use folder = new TempFolder()
              use checkpoint = filled f32 net |> asCheckpoint 32

              for export in [ Export.pytorch; Export.pytorchFlat ] do
                  let path = folder.File "exported"
                  Expect.isTrue (export checkpoint path).Agrees "agrees"
                  use file = ForeignFile.OpenPyTorch path
                  let network, report = imported Strict net file
                  use network = network
                  Expect.isTrue report.IsComplete "complete"
                  Support.sameBits (Support.tensorBits checkpoint.Network) (Support.tensorBits network) "network"
          } ]

let private exports =
    testList
        "an export"
        [ yield! ofBackbones

          for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
              for dtype in [ f32; torch.ScalarType.Float64 ] do
                  test $"of {Names.norm norm} in {dtype} comes back bit for bit from both formats" {
                      use folder = new TempFolder()
                      use checkpoint = filled dtype (small norm) |> asCheckpoint 32

                      for export, openFile in
                          [ Export.pytorch, ForeignFile.OpenPyTorch
                            Export.pytorchFlat, ForeignFile.OpenPyTorch
                            Export.safetensors, ForeignFile.OpenSafetensors ] do
                          let path = folder.File "exported"
                          let comparison = export checkpoint path
                          Expect.isTrue comparison.Agrees "agrees"
                          Expect.equal comparison.Largest 0.0 "largest difference"
                          use file = openFile path
                          let network, report = imported Strict checkpoint.Network.Spec file
                          use network = network
                          Expect.isTrue report.IsComplete "complete"

                          Support.sameBits
                              (Support.tensorBits checkpoint.Network)
                              (Support.tensorBits network)
                              "network"
                  }

          test "as safetensors is a checkpoint with spec, task and training" {
              use folder = new TempFolder()
              use checkpoint = filled f32 (small (BnFree 0.2)) |> asCheckpoint 32
              let path = folder.File "exported.safetensors"
              Export.safetensors checkpoint path |> ignore
              use again = Checkpoint.load (Checkpoint.precision path) path
              Expect.equal again.Network.Spec checkpoint.Network.Spec "spec"
              Expect.equal again.ImageTask checkpoint.ImageTask "task"
              Expect.equal again.State checkpoint.State "state"
          }

          test "to a folder that is not there leaves nothing" {
              use folder = new TempFolder()
              use checkpoint = filled f32 (small NoNorm) |> asCheckpoint 32

              for export in [ Export.pytorch; Export.safetensors; Export.onnx (NormFree.Cli.OnnxRuntime()) OneImage ] do
                  let message =
                      messageOf<DirectoryNotFoundException, _>(fun () -> export checkpoint (folder.File "no/where"))

                  Expect.stringContains message "there is no folder" "message"

              Expect.isEmpty (Directory.GetFileSystemEntries folder.Path) "files"
          } ]

let tests = testList "Import" [ fixtures; keys; types; values; tasks; others; exports ]
