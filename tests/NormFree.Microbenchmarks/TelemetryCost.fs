/// The cost of telemetry: training steps with and without a sample, in alternation.
module NormFree.Microbenchmarks.TelemetryCost

open NormFree.Benchmarks
open NormFree.Distributed
open NormFree.Spec
open NormFree.Platform
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open TorchSharp

let private batch = 64

/// A training step, including sign centering, with hooks and a wrapper for its update.
let private step (training: TrainingStep) optimisation images labels hooks (update: (unit -> unit) -> unit) =
    use _ = torch.NewDisposeScope()
    training.Gradients(images, labels, 0, hooks) |> ignore
    FiniteChecks.gradient optimisation |> ignore

    update (fun () ->
        training.Clip()
        training.Update 1e-4 |> ignore)

let private compare binarise =
    use _ = torch.NewDisposeScope()
    let recipe = { Recipe.corrected with Batch = batch }
    let net = ReActNet.cifar18 |> Net.withBinarise binarise
    use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
    use optimisation = new Optimisation(recipe, network)
    let loss _ logits labels = Losses.CrossEntropy(logits, labels)
    use training = new TrainingStep(OneRank.Instance, 1, recipe, network, optimisation, loss)
    let images = torch.randn [| int64 batch; 3L; 32L; 32L |]
    let labels = torch.tensor (Array.init batch (fun i -> int64 (i % 10)))
    let watched () = Some(torch.randn [| int64 TelemetryRecorder.ProbeImages; 3L; 32L; 32L |])
    use sampler = new Sampler("stage", network, optimisation, watched)
    let step = step training optimisation images labels

    let sampled () =
        let sample = sampler.Start(TrainingCursor.startOf 0)

        let hook: MicroBatchHook =
            { Begins = ignore; ForwardHook = (fun _ -> sampler.ForwardHook sample); Passed = ignore }

        step [ hook ] (fun move -> sampler.Record(sample, move) |> ignore)

    [ { Name = "plain"; Run = fun () -> step [] (fun move -> move ()) }
      { Name = "with a sample"; Run = sampled } ]
    |> Alternation.run { WarmUp = 2; Rounds = 8; Seconds = 0.0 }

let private share every (timings: Timing list) =
    (timings[1].Median - timings[0].Median) / (float every * timings[0].Median)

let run () =
    printfn $"## Telemetry: ReActNet-18 on 32×32 images, batch {batch}, Adam, clipping and sign centering\n"
    MemoryReuse.Enable()

    for binarise in [ Activations; ActivationsAndWeights ] do
        let timings = compare binarise

        printfn
            $"{Names.binarise binarise}: a sample every 50 steps takes {100.0 * share 50 timings:f2} %% of the time\n"

        timings |> Show.timings "images/s" (fun t -> $"{float batch / t.Median:f1}")
