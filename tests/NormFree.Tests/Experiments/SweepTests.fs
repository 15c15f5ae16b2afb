module NormFree.Tests.Experiments.SweepTests

open System
open System.Collections.Concurrent
open System.IO
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Formats
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp

let private images = lazy (Synthetic.dataset 3L 60 20)

let private experiment variants =
    { Name = "try out"
      Images = images.Value
      Seeds = [ 1L; 2L ]
      Variants = variants
      ShareStage1 = false
      Execution = Execution.Default
      Device = Cpu }

let private variant label norm = Variant.twoStages label (tiny norm) { quick with Epochs = 1 }
let private two = lazy (experiment [ variant "bn-free" (BnFree 0.2); variant "none/plain" NoNorm ])

/// Runs a sweep in a folder; returns its results and events.
let private sweepWith change root experiment =
    let events = ConcurrentQueue<SweepEvent>()
    let settings = { SweepSettings.Default with Root = root; MaxParallel = 2; OnEvent = events.Enqueue }
    let results = experiment |> Sweep.run (change settings)
    results, List.ofSeq events

let private sweep root experiment = sweepWith id root experiment

let private started events =
    events
    |> List.choose (function
        | RunStarted(run, _) -> Some run
        | _ -> None)

let private log (result: ExperimentResult) =
    match result.Log with
    | Ok log -> log
    | Error reason -> failtest reason

let private fingerprints results = [ for result: ExperimentResult in results -> Fingerprint.ofRun result.Run.Folder ]

/// The folder, results and events of an undisturbed sweep. Tests only read its finished runs.
let private shared =
    lazy
        (let folder = new TempFolder()
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> (folder :> IDisposable).Dispose())
         folder, sweep folder.Path two.Value)

let private undisturbed = lazy (fingerprints (fst (snd shared.Value)))

let private whole =
    [ test "every variant is trained with every seed, exactly as by a pipeline, and not a second time" {
          let folder, (results, events) = shared.Value

          Expect.equal
              [ for result in results -> (log result).Label ]
              [ "bn-free, seed 1"; "none/plain, seed 1"; "bn-free, seed 2"; "none/plain, seed 2" ]
              "labels"

          Expect.equal (started events).Length 4 "runs"
          let path = Path.GetRelativePath(folder.Path, results[3].Run.Folder.Path)
          Expect.equal path (Path.Combine("try-out", $"none-plain-seed-2-{results[3].Run.Key}")) "folder"

          use alone = new TempFolder()

          Pipeline.from images.Value
          |> Pipeline.into alone.Path
          |> Pipeline.train { quick with Epochs = 1; Seed = 2L; WeightDecay = 1e-5 } (tiny NoNorm)
          |> Pipeline.binariseWeights { quick with Epochs = 1; Seed = 2L }
          |> Pipeline.finish
          |> ignore

          Expect.equal
              (List.item 3 (fingerprints results))
              (Fingerprint.ofRun { Path = alone.Path })
              "weights, state and log"

          let again, events = sweep folder.Path two.Value
          Expect.equal (List.map log again) (List.map log results) "logs"
          Expect.equal events [ SweepStarted("try out", 4, 4, 0) ] "events"
      }

      test "another experiment reads finished runs, under its own labels" {
          let folder, _ = shared.Value

          let other =
              { experiment [ variant "other" (BnFree 0.2); variant "same" (BnFree 0.2) ] with
                  Name = "other"
                  Seeds = [ 1L ] }

          let results, events = sweep folder.Path other
          Expect.isEmpty (started events) "trainings"
          Expect.equal [ for r in results -> (log r).Label ] [ "other, seed 1"; "same, seed 1" ] "labels"
          Expect.equal (log results[0]).Epochs (log results[1]).Epochs "one run for both"
      }

      test "variants that differ only in their labels are trained once" {
          use folder = new TempFolder()

          let results, events =
              sweep folder.Path { experiment [ variant "a" NoNorm; variant "b" NoNorm ] with Seeds = [ 1L ] }

          Expect.equal (started events) [ "a, seed 1" ] "trainings"
          Expect.equal (log results[1]).Epochs (log results[0]).Epochs "log"
      } ]

let private disturbed =
    [ test "an interrupted sweep resumes to the same bits" {
          use folder = new TempFolder()
          use source = new CancellationTokenSource()
          let steps = ref 0

          let cut (settings: SweepSettings) =
              { settings with
                  Cancellation = source.Token
                  OnEvent =
                      function
                      | RunReported(_, StepDone _) when Interlocked.Increment &steps.contents = 4 -> source.Cancel()
                      | _ -> () }

          Expect.throwsT<OperationCanceledException>
              (fun () -> sweepWith cut folder.Path two.Value |> ignore)
              "interrupted"

          let results, _ = sweep folder.Path two.Value
          Expect.equal (fingerprints results) undisturbed.Value "results"
      }

      test "a run that was killed in the middle of a stage resumes from its checkpoint" {
          use folder = new TempFolder()

          // A crash keeps nothing of the stage.
          let cut (settings: SweepSettings) =
              { settings with
                  OnEvent =
                      function
                      | RunReported(_, StepDone { Stage = "activations+weights"; Images = 40 }) -> failwith "the end"
                      | _ -> () }

          let half = { two.Value with Seeds = [ 1L ] }
          let results, _ = sweepWith cut folder.Path half
          Expect.all results _.Log.IsError "all ended"
          let results, events = sweep folder.Path half

          let resumed =
              events
              |> List.filter (function
                  | RunReported(_, Resumed("activations", 1, 0)) -> true
                  | _ -> false)

          Expect.equal resumed.Length 2 "stage 1 was done already"
          Expect.equal (fingerprints results) (List.take 2 undisturbed.Value) "results"
      }

      test "a failed run does not stop the others, and its reason is reported" {
          use folder = new TempFolder()
          let wrong = { variant "wrong" NoNorm with Net = tiny NoNorm |> Net.withClasses 7 }
          let results, events = sweep folder.Path (experiment [ wrong; variant "right" NoNorm ])
          let failed = results |> List.filter _.Log.IsError
          Expect.equal [ for r in failed -> r.Run.Label ] [ "wrong, seed 1"; "wrong, seed 2" ] "failures"

          for result in failed do
              let reason =
                  match result.Log with
                  | Error reason -> reason
                  | Ok _ -> ""

              Expect.stringContains reason "has 7 classes" "reason"
              Expect.contains events (RunFailed(result.Run.Label, reason)) "event"

          Expect.isEmpty (Directory.GetFiles(folder.Path, "*.lock", SearchOption.AllDirectories)) "remaining locks"
      }

      test "a run that another process is training is awaited, and the others continue" {
          use folder = new TempFolder()
          let first = (Sweep.runs folder.Path two.Value).Head
          let held, _ = FileLock.TryTake(Path.Combine(folder.Path, $"{first.Key}.lock"), "another")
          let ended = ref 0
          let events = ConcurrentQueue<SweepEvent>()

          let onEvent event =
              events.Enqueue event

              match event with
              | RunFinished _ when Interlocked.Increment &ended.contents = 3 -> (nonNull held).Dispose()
              | _ -> ()

          let results, _ = sweepWith (fun s -> { s with OnEvent = onEvent }) folder.Path two.Value
          Expect.contains events (RunLocked first.Label) "event"
          Expect.equal (List.last (started (List.ofSeq events))) first.Label "the last to start"
          Expect.equal (fingerprints results) undisturbed.Value "results"
      } ]

let private threads =
    testSequenced (
        test "each run uses one torch thread, and the number of threads is restored" {
            use folder = new TempFolder()
            torch.set_num_threads 2

            try
                let results, _ = sweep folder.Path { two.Value with Seeds = [ 1L ] }

                for result in results do
                    Expect.contains (log result).Configuration ("environment.torch threads", "1") "while it trains"

                Expect.equal (torch.get_num_threads ()) 2 "afterwards"
            finally
                torch.set_num_threads 1
        }
    )

let private sharing =
    [ test "variants that differ only in stage 2 share one stage 1, and end with the numbers of runs of their own" {
          let shortcuts weights label =
              { variant label (BnFree 0.2) with Net = tiny (BnFree 0.2) |> Net.withShortcutWeights weights }

          let variants = [ shortcuts WeightBinariser.ZeroMean "zero-mean"; shortcuts WeightBinariser.Real "real" ]

          let one = { experiment variants with Seeds = [ 1L ] }
          use alone = new TempFolder()
          use together = new TempFolder()
          let expected, _ = sweep alone.Path one
          let found, events = sweep together.Path { one with ShareStage1 = true }

          Expect.equal
              (started events |> List.sort)
              [ "real, seed 1"; "stage 1 of zero-mean, seed 1"; "zero-mean, seed 1" ]
              "runs"

          for expected, found in List.zip expected found do
              Expect.equal (timeless (log found).Epochs) (timeless (log expected).Epochs) found.Run.Label

          Expect.notEqual (log found[0]).Epochs (log found[1]).Epochs "the variants differ"
          let _, again = sweep together.Path { one with ShareStage1 = true }
          Expect.isEmpty (started again) "finished runs are read"
      }

      test "stage 2 does not start from an unfinished stage 1, or from one on other images" {
          use folder = new TempFolder()
          let path = folder.File "stage1"
          let net, recipe = tiny NoNorm, { quick with Epochs = 1 }

          Pipeline.from images.Value |> Pipeline.train recipe net |> Pipeline.save path |> useTrained ignore

          let start images =
              messageOf<TrainingException, _>(fun () -> Pipeline.from images |> Pipeline.binariseFrom path recipe net)

          let other = { images.Value with Train = (Synthetic.dataset 4L 60 20).Train }
          Expect.stringContains (start other) "other images" "images"

          let unfinished key (text: string) =
              if key = "state" then text.Replace("\"Epochs\":1", "\"Epochs\":2") else text

          File.Move(rewrite path (fun _ -> true) unfinished, path, true)
          Expect.stringContains (start images.Value) "1 of 2 epochs" "unfinished"
      } ]

let tests = testList "sweeps" (whole @ sharing @ disturbed @ [ threads ])
