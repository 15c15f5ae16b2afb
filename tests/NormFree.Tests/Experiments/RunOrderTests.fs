module NormFree.Tests.Experiments.RunOrderTests

open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Training
open NormFree.Experiments
open NormFree.Tests.Training.Support

let private run name work memory : ExperimentRun =
    { Variant = Variant.twoStages name (tiny NoNorm) quick
      Seed = 1L
      Key = name
      Folder = { Path = name }
      SharedStage1 = None
      Work = [ "activations", work ]
      Memory = memory }

let private names (runs: ExperimentRun seq) = [ for run in runs -> run.Key ]

let private next memory running waiting = RunOrder.next memory running waiting |> Option.toList |> names

/// Measured peak memory in MB, libtorch included (experiments/results/bench-train.md).
let private measured =
    [ ReActNet.cifar18, 32, 64, Activations, 1045.0
      ReActNet.cifar18, 32, 64, ActivationsAndWeights, 953.0
      ReActNet.cifar18, 32, 128, ActivationsAndWeights, 1556.0
      ReActNet.a |> Net.withClasses 10, 224, 8, Activations, 1423.0 ]

let tests =
    testList
        "order of runs"
        [ test "the longest run is first" {
              let runs = [ run "short" 1.0 0L; run "long" 3.0 0L; run "middle" 2.0 0L ]
              Expect.equal (names (RunOrder.longestFirst runs)) [ "long"; "middle"; "short" ] "order"
          }

          test "a run starts only if it fits into the remaining memory; a smaller one may overtake" {
              let large, small = run "large" 9.0 60L, run "small" 1.0 30L
              Expect.equal (next 100L [] [ large; small ]) [ "large" ] "nothing is running"
              Expect.equal (next 100L [ run "a" 1.0 40L ] [ large; small ]) [ "large" ] "room for both"
              Expect.equal (next 100L [ run "a" 1.0 41L ] [ large; small ]) [ "small" ] "one byte too few"
              Expect.equal (next 100L [ run "a" 1.0 71L ] [ large; small ]) [] "room for neither"
              Expect.equal (next 100L [] []) [] "none is waiting"
          }

          test "a run that never fits runs alone" {
              let huge = run "huge" 9.0 1000L
              Expect.equal (next 100L [] [ huge ]) [ "huge" ] "alone"
              Expect.equal (next 100L [ run "a" 1.0 1L ] [ huge ]) [] "not beside another"
          }

          testProperty "running runs fit into memory, unless one runs alone, and every run is started"
          <| fun (sizes: byte list) (memory: byte) (ends: byte list) ->
              let runs = sizes |> List.mapi (fun i size -> run (string i) (float size) (int64 size))

              let rec go running waiting seen (ends: byte list) =
                  let fits = List.sumBy (fun (r: ExperimentRun) -> r.Memory) running <= int64 memory
                  let sound = fits || List.length running = 1

                  match RunOrder.next (int64 memory) running waiting, ends with
                  | _ when not sound -> false
                  | Some run, _ -> go (run :: running) (waiting |> List.filter ((<>) run)) (run :: seen) ends
                  | None, _ when running.IsEmpty -> waiting.IsEmpty && List.length seen = runs.Length
                  | None, end' :: ends -> go (List.removeAt (int end' % running.Length) running) waiting seen ends
                  | None, [] -> go running.Tail waiting seen []

              go [] (RunOrder.longestFirst runs) [] ends

          for net, size, batch, binarise, peak in measured do
              test
                  $"the estimate of {net.Name}'s memory, batch {batch}, {Names.binarise binarise}, is at most 1.5 times the measured peak" {
                  let estimate = RunEstimate.memory size (Net.withBinarise binarise net, { quick with Batch = batch })
                  let withLibtorch = float estimate / 1048576.0 + 200.0
                  Expect.isGreaterThanOrEqual withLibtorch peak "enough"
                  Expect.isLessThanOrEqual withLibtorch (1.5 * peak) "not too much"
              }

          test "work counts images and epochs" {
              let images = Synthetic.dataset 1L 60 30
              let work epochs = RunEstimate.work images (tiny NoNorm, { quick with Epochs = epochs })
              let macs = (Summary.create 32 32 (tiny NoNorm) |> Result.defaultWith (failtestf "%A")).Total
              let all = float (macs.BinaryMacs + macs.MixedMacs + macs.RealMacs)
              Expect.equal (work 3) (all * 70.0 * 3.0) "60 to train on and a third of 30 to test"
          } ]
