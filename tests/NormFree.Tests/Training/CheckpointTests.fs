module NormFree.Tests.Training.CheckpointTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp
open NormFree.Tests.Training.CheckpointSupport

let private roundTrip =
    [ for norm in norms do
          for optimiser in optimisers do
              test $"{Names.norm norm}, {optimiser}: weights, task, progress and state are restored bit for bit" {
                  use folder = new TempFolder()
                  let path = folder.File "last.safetensors"
                  let recipe = { quick with Optimiser = optimiser; WeightDecay = 1e-2 }
                  let network, optimisation = trained recipe norm
                  use network = network
                  use optimisation = optimisation
                  let saved = checkpoint network
                  Checkpoint.save path (Some optimisation) saved

                  use loaded = Checkpoint.load torch.ScalarType.Float32 path
                  sameBits (tensorBits loaded.Network) (tensorBits network) "weights"
                  Expect.equal loaded.Network.Spec network.Spec "spec"
                  Expect.equal loaded.ImageTask saved.ImageTask "task"
                  Expect.equal loaded.State saved.State "state of the training"

                  use again = new Optimisation(recipe, loaded.Network)
                  Checkpoint.restore path again
                  sameBits (stateBits again) (stateBits optimisation) "optimiser"

                  step network optimisation "next"
                  step loaded.Network again "next"
                  sameBits (tensorBits loaded.Network) (tensorBits network) "weights after another step"
              }

      test "the same checkpoint gives the same bytes" {
          use folder = new TempFolder()
          use network = create BatchNorm

          for name in [ "a"; "b" ] do
              Checkpoint.save (folder.File name) None (checkpoint network)

          Expect.equal (File.ReadAllBytes(folder.File "a")) (File.ReadAllBytes(folder.File "b")) "bytes"
      }

      test "a float64 network is restored bit for bit" {
          use folder = new TempFolder()
          use network = Network.create torch.ScalarType.Float64 Rule.Corrected 9L (tiny BatchNorm)
          Checkpoint.save (folder.File "double") None (checkpoint network)
          use loaded = Checkpoint.load torch.ScalarType.Float64 (folder.File "double")
          sameBits (tensorBits loaded.Network) (tensorBits network) "weights"
      }

      test "stage 1's checkpoint initialises a network of stage 2" {
          use folder = new TempFolder()
          use network = create (BnFree 0.2)
          Checkpoint.save (folder.File "first") None (checkpoint network)
          let binary = tiny (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights
          use second = Network.create torch.ScalarType.Float32 Rule.Corrected 1L binary

          Expect.isNone
              (Checkpoint.start (folder.File "first") (checkpoint network).ImageTask.Classes second)
              "the classes are the same"

          sameBits (tensorBits second) (tensorBits network) "weights"
      }

      test "a checkpoint with another number of classes initialises all but the classifier" {
          use folder = new TempFolder()
          use network = create (BnFree 0.2)
          Checkpoint.save (folder.File "ten") None (checkpoint network)
          let three = tiny (BnFree 0.2) |> Net.withClasses 3
          use second = Network.create torch.ScalarType.Float32 Rule.Corrected 7L three
          use fresh = Network.create torch.ScalarType.Float32 Rule.Corrected 7L three
          let classes = (checkpoint network).ImageTask.Classes
          let found = Checkpoint.start (folder.File "ten") (Array.truncate 3 classes) second
          Expect.equal found (Some classes) "the checkpoint's classes"
          let isClassifier (name: string, _) = name.StartsWith "fc."
          let isOther = isClassifier >> not
          Expect.equal (tensorBits second |> List.filter isClassifier |> Seq.length) 2 "weight and bias"

          sameBits
              (List.filter isClassifier (tensorBits second))
              (List.filter isClassifier (tensorBits fresh))
              "classifier"

          sameBits (List.filter isOther (tensorBits second)) (List.filter isOther (tensorBits network)) "other weights"
      }

      test "a checkpoint with as many other classes initialises all but the classifier" {
          use folder = new TempFolder()
          use network = create (BnFree 0.2)
          Checkpoint.save (folder.File "ten") None (checkpoint network)
          use second = Network.create torch.ScalarType.Float32 Rule.Corrected 7L (tiny (BnFree 0.2))
          let others = [| for i in 1..10 -> $"other {i}" |]
          Expect.isSome (Checkpoint.start (folder.File "ten") others second) "the classes differ"

          Expect.equal
              (differences (tensorBits second) (tensorBits network) |> List.sort)
              [ "fc.bias"; "fc.weight" ]
              "new weights"
      } ]

let private saving =
    [ test "a failed save leaves the old file and no temporary file" {
          use folder = new TempFolder()
          let path = folder.File "last.safetensors"
          let network = create NoNorm
          Checkpoint.save path None (checkpoint network)
          let before = File.ReadAllBytes path
          (network :> System.IDisposable).Dispose()
          Expect.throws (fun () -> Checkpoint.save path None (checkpoint network)) "disposed tensors"
          Expect.equal (File.ReadAllBytes path) before "the old file"
          Expect.equal (Directory.GetFileSystemEntries folder.Path) [| path |] "files in the folder"
      }

      test "a folder at the file's path is not changed" {
          use folder = new TempFolder()
          let path = folder.File "last.safetensors"
          let inside = folder.Write("last.safetensors/file", [| 1uy |])
          use network = create NoNorm
          messageOf<exn, _>(fun () -> Checkpoint.save path None (checkpoint network)) |> ignore
          Expect.equal (File.ReadAllBytes inside) [| 1uy |] "its content"
          Expect.equal (Directory.GetFileSystemEntries folder.Path) [| path |] "files in the folder"
      }

      test "a folder that does not exist is an IOException" {
          use folder = new TempFolder()
          use network = create NoNorm

          messageOf<DirectoryNotFoundException, _>(fun () ->
              Checkpoint.save (folder.File "no/such.safetensors") None (checkpoint network))
          |> ignore
      } ]

let tests =
    testList
        "checkpoints"
        [ testList "round trips" roundTrip
          testList "refusals" CheckpointRefusalTests.refusals
          testList "damaged files" CheckpointRefusalTests.damaged
          testList "older files" CheckpointVersionTests.older
          testList "saving" saving ]
