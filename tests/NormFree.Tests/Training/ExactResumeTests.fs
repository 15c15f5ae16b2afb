/// Runs that are interrupted anywhere and resumed end with the same bits as uninterrupted ones.
module NormFree.Tests.Training.ExactResumeTests

open System
open System.IO
open System.Threading
open System.Text.Json.Serialization
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Telemetry
open NormFree.Tests.Training.Support

/// Images, some of them unreadable: one whole batch and the last one of an epoch.
let private data =
    lazy
        (let synthetic = Synthetic.dataset 3L 43 20
         let order = Loader.shuffled 1L 1_000_000 40

         let unreadable = Set [ yield! order[10..14]; order[22]; order[39] ]

         let train = ImageSource.subset [| 0..39 |] synthetic.Train

         { synthetic with
             Train = { train with Load = fun i -> if unreadable.Contains i then Error "damaged" else train.Load i } })

/// All stateful settings are on: 8 batches per epoch.
let private recipe =
    { quick with Batch = 5; WarmUp = 1.0; WeightDecay = 1e-3; WeightAverage = Some 0.9 }

let private plan engine every folder =
    let plan = Pipeline.from data.Value |> Pipeline.into folder

    { plan with
        Options =
            { plan.Options with
                Execution = { plan.Options.Execution with Engine = engine }
                Telemetry = EverySteps 3
                CheckpointPolicy = { Checkpoints = 2; Every = every } } }

let private both norm plan =
    plan
    |> Pipeline.train recipe (tiny norm)
    |> Pipeline.binariseWeights recipe
    |> Pipeline.finish
    |> ignore

exception private Crash

/// Ends a plan at its nth step, by its token or by an exception, as in a crash.
let private stopped byToken n (plan: Plan) =
    let source = new CancellationTokenSource()
    let handler = atStep n (fun () -> if byToken then source.Cancel() else raise Crash)
    { plan with Options = { plan.Options with OnEvent = handler; Cancellation = source.Token } }

let private interrupt byToken n norm plan =
    try
        both norm (stopped byToken n plan)
        failtest "the run was not interrupted"
    with
    | Crash
    | :? OperationCanceledException -> ()

let private never = TimeSpan.FromDays 1.0

/// The telemetry files by name.
let private telemetry (run: RunFolder) =
    [ for path in Directory.GetFiles run.Telemetry |> Array.sort -> Path.GetFileName path, File.ReadAllBytes path ]

/// TensorBoard's events: tags and steps by stage.
let private boardEvents (run: RunFolder) =
    [ for stage, events in EventFiles.read run do
          for event in events do
              stage, event.Tag, event.Step ]
    |> List.sort

/// Interruptions: by token or exception, the time between checkpoints, and the step. They are within epochs, before and after unreadable
/// batches, at ends of epochs, and in both stages.
let private quickPlaces, otherPlaces =
    [ true, never, 1
      false, TimeSpan.Zero, 6
      true, never, 7
      false, never, 12
      false, TimeSpan.Zero, 25 ],
    [ true, never, 3; false, TimeSpan.Zero, 2; true, never, 17 ]

/// The composite engine is slower: three interruptions, in both stages.
let private quickForComposite, others =
    quickPlaces |> List.partition (fun (_, _, step) -> step = 1 || step = 12 || step = 25)

let private fused, composite = (Fused, BnFree 0.2), (Composite, BatchNorm)

let private anywhere runs =
    [ for (engine, norm), places in runs do
          test $"{Json.name engine} engine, {Names.norm norm}: interrupted anywhere, it ends with the same fingerprint" {
              use folder = new TempFolder()
              let whole = RunFolder.at (folder.File "whole")
              both norm (plan engine never whole.Path)
              let expected = Fingerprint.ofRun whole
              let files, events = telemetry whole, boardEvents whole
              Expect.equal files.Length 9 "telemetry files"

              for byToken, every, n in places do
                  let run = RunFolder.at (folder.File $"{byToken} {n}")
                  interrupt byToken n norm (plan engine every run.Path)
                  both norm (plan engine never run.Path)
                  let how = $"interrupted at step {n}, by token: {byToken}"
                  Expect.equal (Fingerprint.ofRun run) expected how
                  Expect.equal (telemetry run) files $"{how}: telemetry"
                  Expect.equal (boardEvents run) events $"{how}: events, without duplicates"
          } ]

let private reported =
    [ test "finished batches are not decoded again" {
          use folder = new TempFolder()
          interrupt true 3 NoNorm (plan Fused never folder.Path)
          let events = ResizeArray()
          let again = plan Fused never folder.Path |> Pipeline.onEvent events.Add
          both NoNorm again
          Expect.contains events (Resumed("activations", 0, 3)) "the resumed position"

          let first =
              events
              |> Seq.pick (function
                  | StepDone report -> Some report
                  | _ -> None)

          Expect.equal (first.Epoch, first.Images) (1, 25) "the first step"
      }

      test "a change of engine causes a warning and is recorded in run.json" {
          use folder = new TempFolder()
          interrupt true 3 NoNorm (plan Fused never folder.Path)
          let events = ResizeArray()
          both NoNorm (plan Composite never folder.Path |> Pipeline.onEvent events.Add)

          let warning =
              events
              |> Seq.pick (function
                  | Warning text -> Some text
                  | _ -> None)

          contains [ "engine fused"; "engine composite"; "rounded differently" ] warning
          let configuration = Map (RunFolder.readRun (RunFolder.at folder.Path)).Configuration

          contains
              [ "activations, after epoch 1, step 3"; "engine composite"; "instead of engine fused" ]
              configuration["environment.changed (1)"]
      }

      test "another machine has another arithmetic" {
          use folder = new TempFolder()
          interrupt true 3 NoNorm (plan Fused never folder.Path)
          let state = Checkpoint.readState ((RunFolder.at folder.Path).Last 1)
          Expect.equal state.Machine (Some Machine.arithmetic.Value) "the saved machine"
          Expect.isTrue (state.RoundsAs { state with Machine = None }) "unknown"
          Expect.isFalse (state.RoundsAs { state with Machine = Some "another" }) "another machine"
          Expect.isFalse (state.RoundsAs { state with Threads = state.Threads + 1 }) "another number of threads"
      }

      test "another device has another arithmetic" {
          use network = Network.create TorchSharp.torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)

          let on device =
              let plan = Pipeline.from data.Value
              let plan = { plan with Options = { plan.Options with Device = device } }
              StageResume.newState plan network recipe [] []

          let gpu = Machine.gpu.Value |> Option.defaultValue "cuda"
          Expect.equal (on Cpu).Machine (Some Machine.arithmetic.Value) "the CPU"
          Expect.equal (on Cuda).Machine (Some $"{Machine.arithmetic.Value}, {gpu}") "the GPU"
          Expect.isFalse ((on Cpu).RoundsAs(on Cuda)) "they round differently"
      } ]

let private fingerprints =
    [ test "a fingerprint ignores wall times, and nothing else" {
          use folder = new TempFolder()
          use network = Network.create TorchSharp.torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)

          let state: TrainingState = { TrainingState.Of(recipe, "activations") with Threads = 1 }

          let fingerprint state =
              let path = folder.File "checkpoint"
              Checkpoint.save path None { Network = network; ImageTask = ImageTask.Of data.Value; State = state }
              Fingerprint.ofCheckpoint path

          let cursor = state.TrainingCursor
          let expected = fingerprint state
          Expect.equal (fingerprint { state with TrainingCursor = { cursor with Seconds = 9.0 } }) expected "seconds"
          Expect.notEqual (fingerprint { state with TrainingCursor = { cursor with Step = 1 } }) expected "step"
          Expect.notEqual (fingerprint { state with Threads = 2 }) expected "threads"
      } ]

let tests =
    testList
        "exact resume"
        [ testList "anywhere" (anywhere [ fused, quickPlaces; composite, quickForComposite ])
          testList "reported" reported
          testList "fingerprints" fingerprints ]

let soak =
    testList "exact resume elsewhere" (anywhere [ fused, otherPlaces; composite, others @ otherPlaces ])
