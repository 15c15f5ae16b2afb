/// Exports that are imported again.
module NormFree.Tests.Interop.ExportTests

open System
open System.IO
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
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training
open TorchSharp

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

let tests =
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
