/// Trainings whose first epochs train the classifier only.
module NormFree.Tests.Distributed.FreezeTests

open System
open System.IO
open System.Text.Json.Serialization
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training
open NormFree.Tests.Training.Support
open TorchSharp

/// Two frozen epochs of three, with everything on that changes weights. Six steps per epoch.
let private recipe = { quick with Epochs = 3; Freeze = 2; Batch = 10; WeightDecay = 1e-2 }

let private data = lazy (Synthetic.dataset 3L 60 20)

/// Deleted when the tests end.
let private scratch =
    lazy
        (let folder = new TempFolder()
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> (folder :> IDisposable).Dispose())
         folder)

/// A trained network of other classes.
let private start norm =
    lazy
        (let path = scratch.Value.File $"{Names.norm norm}.safetensors"
         let ten = Synthetic.dataset 4L 40 20
         let other = { ten with Classes = [| for name in ten.Classes -> "other " + name |] }

         Pipeline.from other
         |> Pipeline.train { quick with Epochs = 1 } (tiny norm)
         |> Pipeline.save path
         |> useTrained ignore

         path)

let private starts = Map [ for norm in [ BnFree 0.2; BatchNorm ] -> norm, start norm ]

let private train engine norm (folder: string) change =
    let plan = Pipeline.from data.Value |> Pipeline.into folder

    { plan with
        Options =
            change
                { plan.Options with
                    Execution = { plan.Options.Execution with Engine = engine }
                    Telemetry = EverySteps 4 } }
    |> Pipeline.trainBinaryFrom (Some starts[norm].Value) recipe (tiny norm)
    |> Pipeline.finish
    |> ignore

/// The weights of the last checkpoint after each epoch.
let private weightsByEpoch engine norm =
    use folder = new TempFolder()
    let run: RunFolder = { Path = folder.Path }
    let found = ResizeArray()

    let onEvent event =
        match event with
        | EpochDone _ -> found.Add(fileBits (run.Last 2) |> List.filter (fst >> Checkpoint.isOfNetwork))
        | _ -> ()

    train engine norm folder.Path (fun options -> { options with OnEvent = onEvent })
    List.ofSeq found

let private isClassifier (name: string) = name.StartsWith "fc."

let private frozen =
    [ for engine in [ Fused; Composite ] do
          for norm in [ BnFree 0.2; BatchNorm ] do
              test
                  $"{Json.name engine} engine, {Names.norm norm}: only the classifier changes, until the body is released" {
                  let before = fileBits starts[norm].Value |> List.filter (fst >> Checkpoint.isOfNetwork)

                  match weightsByEpoch engine norm with
                  | [ first; second; third ] ->
                      Expect.equal (differences before first |> List.sort) [ "fc.bias"; "fc.weight" ] "first epoch"
                      Expect.equal (differences first second |> List.sort) [ "fc.bias"; "fc.weight" ] "second epoch"
                      let changed = differences second third |> List.filter (isClassifier >> not)
                      Expect.isGreaterThan changed.Length 10 "third epoch"
                  | others -> failtest $"{others.Length} epochs"
              } ]

let private interrupted n engine norm folder =
    let source = new CancellationTokenSource()
    let onEvent = atStep n source.Cancel

    try
        train engine norm folder (fun options -> { options with OnEvent = onEvent; Cancellation = source.Token })
        failtest "the run was not interrupted"
    with :? OperationCanceledException ->
        ()

/// Within the frozen epochs, at their end, and after it.
let private resumed =
    [ for engine, norm, places in [ Fused, BnFree 0.2, [ 3; 6; 12; 13; 15 ]; Composite, BatchNorm, [ 12 ] ] do
          test $"{Json.name engine} engine, {Names.norm norm}: interrupted anywhere, it ends with the same fingerprint" {
              use folder = new TempFolder()
              train engine norm (folder.File "whole") id
              let expected = Fingerprint.ofRun { Path = folder.File "whole" }

              for n in places do
                  let path = folder.File(string n)
                  interrupted n engine norm path
                  train engine norm path id
                  Expect.equal (Fingerprint.ofRun { Path = path }) expected $"interrupted at step {n}"
          } ]

let private ranks =
    test "several ranks take the steps of one process" {
        let inFloat64 accumulate (ranks: IRanks) =
            Trainings.runWith
                { Trainings.recipe with Freeze = 2 }
                { RunOptions.Default with Ranks = ranks; Accumulate = accumulate }
                None
                None
                torch.ScalarType.Float64
                (BnFree 0.2)

        let alone = inFloat64 1 OneRank.Instance

        for one in ThreadRanks.run 2 (inFloat64 2) do
            let distance = Trainings.distance one.Tensors alone.Tensors
            Expect.isLessThan distance 1e-12 $"distance {distance}"
    }

let private failures =
    [ test "random weights cannot be frozen" {
          use folder = new TempFolder()
          let plan = Pipeline.from data.Value |> Pipeline.into folder.Path

          messageOf<TrainingException, _>(fun () -> Pipeline.train recipe (tiny NoNorm) plan)
          |> contains [ "freezes the network for 2 epochs"; "a checkpoint to start from" ]
      }

      test "more frozen epochs than epochs are an error" {
          match Recipe.validate { recipe with Freeze = 4 } with
          | Error [ problem ] -> contains [ "between 0 and 3"; "4" ] problem
          | other -> failtest $"{other}"
      } ]

let tests = testList "frozen epochs" (frozen @ resumed @ [ ranks ] @ failures)
