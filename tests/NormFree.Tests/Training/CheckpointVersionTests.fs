/// Checkpoints of earlier versions.
module NormFree.Tests.Training.CheckpointVersionTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open NormFree.Tests.Training.CheckpointSupport

/// Specs that earlier versions wrote, and today's.
let private oldSpecs =
    [ "reactnet-18.json",
      ReActNet.reactNet18 { Width = 0.25; Depth = 1.0 } CifarStem
      |> Net.withClasses 10
      |> Net.withNorm BatchNorm
      |> Net.withBinarise ActivationsAndWeights
      |> Net.withBinaryGain BinaryGain.VariancePreserving
      |> Net.withExpectedVariance ExpectedVariance.Corrected
      "reactnet-a.json", ReActNet.reactNetA { Width = 0.25; Depth = 0.5 } ImageNetStem
      "resnet-18.json", ResNet.resNet18 { Width = 0.125; Depth = 0.5 } ImageNetStem |> Net.withClasses 10 ]

let older =
    [ test "a state without an execution has the composite engine's arithmetic" {
          let state = { TrainingState.Of(quick, "activations") with Threads = 2 }
          Expect.isNone state.Execution "execution"
          Expect.equal state.Arithmetic "engine composite, precision float32, threads 2" "arithmetic"
      }

      for file, net in oldSpecs do
          test $"a spec of an earlier version is read: {file}" {
              let text = File.ReadAllText(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "specs", file))
              Expect.equal (OldSpec.read text) (Ok net) "spec"
          }

      test "a network's shortcut weights are restored" {
          for weights in [ WeightBinariser.Binary; WeightBinariser.ZeroMean; WeightBinariser.Real ] do
              let net = tiny NoNorm |> Net.withShortcutWeights weights
              Expect.equal (Json.read<NetSpec>(Json.write net)) (Ok net) (Names.weights weights)
      }

      test "a checkpoint without a method number has none" {
          withFile (fun _ path _ _ ->
              Expect.equal (Checkpoint.readState path).Method (Some 7) "with a number"
              ofMethod None path
              Expect.equal (Checkpoint.readState path).Method None "without")
      }

      test "a checkpoint of version 2 is read with a warning that lists its old field names" {
          withFile (fun _ path _ _ ->
              let current = Checkpoint.readState path

              let oldName (text: string) =
                  OldNames.fields
                  |> List.fold (fun (text: string) (old, now) -> text.Replace($"\"{now}\"", $"\"{old}\"")) text

              let change key text =
                  match key with
                  | "version" -> "2"
                  | "state"
                  | "task" -> oldName text
                  | _ -> text

              let path = rewrite path (fun _ -> true) change
              let warnings = ResizeArray()
              OldNames.warn <- warnings.Add

              try
                  Expect.equal (Checkpoint.readState path) current "state"
              finally
                  OldNames.warn <- ignore

              contains
                  [ path; "Position (now TrainingCursor)"; "SoFar (now Progress)"; "next version" ]
                  (Seq.head warnings))
      } ]
