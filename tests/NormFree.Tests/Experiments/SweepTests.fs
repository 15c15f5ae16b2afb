module NormFree.Tests.Experiments.SweepTests

open System
open System.Collections.Concurrent
open System.IO
open System.Threading
open System.Threading.Tasks
open Expecto
open NormFree.Data
open NormFree.Formats
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp

let private images = lazy (Synthetic.dataset 3L 60 20)

let private experiment variants =
    { Name = "try out"
      Images = images.Value
      Seeds = [ 1L; 2L ]
      Variants = variants
      Execution = Execution.Default
      Device = Cpu }

let private variant label norm = Variant.twoStages label (tiny norm) { quick with Epochs = 1 }
let private two = lazy (experiment [ variant "bn-free" (BnFree 0.2); variant "none/plain" NoNorm ])

/// Runs a sweep in a folder; what it told, and what came of it.
let private sweepWith change root experiment =
    let events = ConcurrentQueue<SweepEvent>()
    let settings = { SweepSettings.Default with Root = root; SideBySide = 2; Watch = events.Enqueue }
    let results = experiment |> Sweep.run (change settings)
    results, List.ofSeq events

let private sweep root experiment = sweepWith id root experiment

let private began events =
    events
    |> List.choose (function
        | RunBegins(run, _) -> Some run
        | _ -> None)

let private log (result: ExperimentResult) =
    match result.Log with
    | Ok log -> log
    | Error reason -> failtest reason

let private fingerprints results = [ for result: ExperimentResult in results -> Fingerprint.ofRun result.Run.Folder ]

/// What the same sweep comes to without any disturbance.
let private undisturbed =
    lazy
        (use folder = new TempFolder()
         fingerprints (fst (sweep folder.Path two.Value)))

let private whole =
    [ test "every variant is trained with every seed, as a pipeline does it, and the second time none is" {
          use folder = new TempFolder()
          let results, events = sweep folder.Path two.Value

          Expect.equal
              [ for result in results -> (log result).Label ]
              [ "bn-free, seed 1"; "none/plain, seed 1"; "bn-free, seed 2"; "none/plain, seed 2" ]
              "labels"

          Expect.equal (began events).Length 4 "runs"
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
          Expect.equal events [ SweepBegins("try out", 4, 4, 0) ] "events"
      }

      test "another experiment reads what one has finished, under its own label" {
          use folder = new TempFolder()
          sweep folder.Path { two.Value with Seeds = [ 1L ] } |> ignore

          let other =
              { experiment [ variant "other" (BnFree 0.2); variant "same" (BnFree 0.2) ] with
                  Name = "other"
                  Seeds = [ 1L ] }

          let results, events = sweep folder.Path other
          Expect.isEmpty (began events) "trainings"
          Expect.equal [ for r in results -> (log r).Label ] [ "other, seed 1"; "same, seed 1" ] "labels"
          Expect.equal (log results[0]).Epochs (log results[1]).Epochs "one run for both"
      }

      test "variants that differ in nothing but their labels are trained once" {
          use folder = new TempFolder()

          let results, events =
              sweep folder.Path { experiment [ variant "a" NoNorm; variant "b" NoNorm ] with Seeds = [ 1L ] }

          Expect.equal (began events) [ "a, seed 1" ] "trainings"
          Expect.equal (log results[1]).Epochs (log results[0]).Epochs "log"
      } ]

let private disturbed =
    [ test "an interrupted sweep goes on, and comes to the same bits" {
          use folder = new TempFolder()
          use source = new CancellationTokenSource()
          let steps = ref 0

          let cut (settings: SweepSettings) =
              { settings with
                  Cancellation = source.Token
                  Watch =
                      function
                      | RunTells(_, StepDone _) when Interlocked.Increment &steps.contents = 4 -> source.Cancel()
                      | _ -> () }

          Expect.throwsT<OperationCanceledException>
              (fun () -> sweepWith cut folder.Path two.Value |> ignore)
              "interrupted"

          let results, _ = sweep folder.Path two.Value
          Expect.equal (fingerprints results) undisturbed.Value "what they come to"
      }

      test "a run that ended in the middle of a stage, as by a kill, goes on from its checkpoint" {
          use folder = new TempFolder()

          // Nothing is kept at such an end.
          let cut (settings: SweepSettings) =
              { settings with
                  Watch =
                      function
                      | RunTells(_, StepDone { Stage = "activations+weights"; Images = 40 }) -> failwith "the end"
                      | _ -> () }

          let results, _ = sweepWith cut folder.Path two.Value
          Expect.all results _.Log.IsError "all ended"
          let results, events = sweep folder.Path two.Value

          let resumed =
              events
              |> List.filter (function
                  | RunTells(_, Resumed("activations", 1, 0)) -> true
                  | _ -> false)

          Expect.equal resumed.Length 4 "stage 1 was done already"
          Expect.equal (fingerprints results) undisturbed.Value "what they come to"
      }

      test "one that fails does not end the others, and is told by its reason" {
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

              Expect.stringContains reason "tells 7 classes apart" "reason"
              Expect.contains events (RunFails(result.Run.Label, reason)) "event"

          Expect.isEmpty (Directory.GetFiles(folder.Path, "*.lock", SearchOption.AllDirectories)) "locks that are left"
      }

      test "a run that another process is at is waited for, the others go on" {
          use folder = new TempFolder()
          let first = (Sweep.runs folder.Path two.Value).Head
          let held, _ = FileLock.TryTake(Path.Combine(folder.Path, $"{first.Key}.lock"), "another")
          let ended = ref 0
          let told = ConcurrentQueue<SweepEvent>()

          let watch event =
              told.Enqueue event

              match event with
              | RunEnds _ when Interlocked.Increment &ended.contents = 3 -> (nonNull held).Dispose()
              | _ -> ()

          let results, _ = sweepWith (fun s -> { s with Watch = watch }) folder.Path two.Value
          Expect.contains told (RunElsewhere first.Label) "event"
          Expect.equal (List.last (began (List.ofSeq told))) first.Label "the last to begin"
          Expect.equal (fingerprints results) undisturbed.Value "what they come to"
      } ]

let private threads =
    testSequenced (
        test "one torch thread for each run, and as many as before in the end" {
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

let tests = testList "sweeps" (whole @ disturbed @ [ threads ])
