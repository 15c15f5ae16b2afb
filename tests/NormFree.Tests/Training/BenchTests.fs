module NormFree.Tests.Training.BenchTests

open System
open System.Threading
open System.Threading.Tasks
open Expecto
open NormFree.Spec
open NormFree.Torch.Profiling
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp

let private job norm =
    let basis = BenchJob.Default(tiny norm |> Net.withBinarise ActivationsAndWeights)
    { basis with Recipe = { basis.Recipe with Batch = 4 }; WarmUp = 1; Steps = 3 }

let private spreads =
    [ for values, median in [ [ 3.0 ], 3.0; [ 4.0; 2.0 ], 3.0; [ 9.0; 1.0; 2.0 ], 2.0; [ 4.0; 1.0; 9.0; 2.0 ], 3.0 ] do
          test $"the median of {values} is {median}" {
              let spread = Spread.Of values
              Expect.equal (spread.Median, spread.Min, spread.Max) (median, List.min values, List.max values) "spread"
          } ]

let private clock =
    [ test "a stopped clock measures nothing" {
          use _ = LayerClock.Measure("layer", Phase.Forward)
          Expect.isEmpty (LayerClock.Take()) "layers"
      }

      test "layers keep their order, and phases are separate" {
          LayerClock.Start()

          for layer, phase in [ "b", Phase.Forward; "a", Phase.Forward; "a", Phase.Backward; "b", Phase.Forward ] do
              using (LayerClock.Measure(layer, phase)) (fun _ -> Thread.Sleep 2)

          LayerClock.Stop()
          using (LayerClock.Measure("c", Phase.Forward)) ignore
          let layers = List.ofSeq (LayerClock.Take())
          Expect.equal (layers |> List.map _.Layer) [ "b"; "a" ] "order"
          Expect.isGreaterThanOrEqual layers[0].Forward.Value 4.0 "b forward, twice 2 ms"
          Expect.isFalse layers[0].Backward.HasValue "b backward"
          Expect.isTrue (layers[1].Forward.HasValue && layers[1].Backward.HasValue) "a in both phases"
          Expect.isEmpty (LayerClock.Take()) "the clock is empty"
      }

      test "layers are measured on any thread" {
          LayerClock.Start()
          let work i = using (LayerClock.Measure($"layer {i % 3}", Phase.Backward)) ignore
          Parallel.For(0, 3000, work) |> ignore
          LayerClock.Stop()

          Expect.equal
              (LayerClock.Take() |> Seq.map _.Layer |> Set.ofSeq)
              (set [ for i in 0..2 -> $"layer {i}" ])
              "layers"
      } ]

let private measuring =
    [ for norm in norms do
          test $"{Names.norm norm}: a training step is measured" {
              let steps = ResizeArray()
              let result = Bench.train { job norm with Progress = steps.Add }
              Expect.equal (List.ofSeq steps) [ 1..4 ] "warm-up and steps are reported"
              Expect.equal result.Norm (Some(Names.norm norm)) "norm"
              Expect.equal (result.Batch, result.Image, result.Steps) (4, 32, 3) "sizes"
              Expect.equal result.Threads (torch.get_num_threads ()) "threads"
              let speed = result.ImagesPerSecond
              Expect.isTrue (0.0 < speed.Min && speed.Min <= speed.Median && speed.Median <= speed.Max) $"speed {speed}"
              let phases = result.PhaseMs

              for phase in [ phases.Data; phases.Forward; phases.Backward; phases.Clip; phases.Step ] do
                  Expect.isGreaterThan phase 0.0 $"phases {phases}"

              Expect.isGreaterThan result.PeakMemoryMb 50.0 "memory"
              Expect.isNone result.Profile "layers"
          }

      test "a profile has the network's layers, and the rest of each phase as its last line" {
          let net = (job NoNorm).Net
          let result = Bench.train { job NoNorm with Profile = true; Execution = Execution.Portable }
          let layers = result.Profile.Value
          Expect.equal (layers |> List.map _.Name) ((Lowering.parts net |> List.map fst) @ [ "rest" ]) "names"
          Expect.all layers (fun layer -> layer.ForwardMs.IsSome) "forward"
          let backward = layers |> List.filter _.BackwardMs.IsSome
          Expect.equal (backward |> List.map _.Name) [ "rest" ] "the composite engine has one backward pass"
      }

      test "the result survives a round trip through JSON" {
          let result = Bench.train { job (BnFree 0.2) with Profile = true }
          Expect.equal (Json.readSnakeCase (Json.writeSnakeCase result)) (Ok result) "result"
      }

      test "a full-precision network is measured" {
          let net = ResNet.resNet18 { Width = 0.125; Depth = 0.5 } CifarStem |> Net.withClasses 10
          let result = Bench.train { job NoNorm with Net = net }
          Expect.equal (result.Norm, result.Binarise) (None, None) "norm and binarise"
      }

      test "a measurement is cancelled between two steps" {
          use source = new CancellationTokenSource()
          let steps = ResizeArray()

          let progress number =
              steps.Add number

              if number = 2 then
                  source.Cancel()

          Expect.throwsT<OperationCanceledException>
              (fun () ->
                  Bench.train { job NoNorm with Steps = 1000; Progress = progress; Cancellation = source.Token }
                  |> ignore)
              "the token"

          Expect.equal (List.ofSeq steps) [ 1; 2 ] "steps"
      }

      test "images that exceed the memory are rejected before anything is allocated" {
          let job = job NoNorm

          let text =
              messageOf<TrainingException, _>(fun () ->
                  Bench.train { job with Image = 65536; Recipe = { job.Recipe with Batch = 65536 } })

          contains [ "65536 images of 65536×65536 need"; "GB of memory"; "fewer or smaller images" ] text
      }

      test "an invalid job is rejected with all its problems" {
          let job = job NoNorm

          let text =
              messageOf<TrainingException, _>(fun () ->
                  Bench.train { job with Image = 2; WarmUp = -1; Steps = 0; Recipe = { job.Recipe with Batch = 0 } })

          contains [ "2×2"; "1 step"; "warm-up"; "1 image" ] text
      } ]

/// Sequenced: the process has one clock, which would also measure networks of other tests.
let tests =
    testSequenced
    <| testList "bench" [ testList "spreads" spreads; testList "clock" clock; testList "measuring" measuring ]
