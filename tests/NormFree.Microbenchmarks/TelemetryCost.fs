/// What a look inside the layers costs: training steps with and without one, by turns.
module NormFree.Benchmarks.TelemetryCost

open NormFree.Benchmarks.Alternate
open NormFree.Distributed
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open TorchSharp

let private batch = 64

/// A step as a training takes it, balance included, with its watches and what is around its move.
let private step (training: TrainingStep) optimisation images labels watches (runOptions: (unit -> unit) -> unit) =
    use _ = torch.NewDisposeScope()
    training.Gradients(images, labels, 0, watches) |> ignore
    FiniteChecks.gradient optimisation |> ignore

    runOptions (fun () ->
        training.Clip()
        training.Update 1e-4 |> ignore)

/// Steps of a network, with a sample and without one by turns.
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
    let watched () = Some(torch.randn [| int64 Recorder.WatchedImages; 3L; 32L; 32L |])
    use sampler = new Sampler("stage", network, optimisation, watched)
    let step = step training optimisation images labels

    let sampled () =
        let sample = sampler.Begin(TrainingCursor.startOf 0)

        let watch: MicroBatchHook =
            { Begins = ignore; ForwardHook = (fun _ -> sampler.ForwardHook sample); Passed = ignore }

        step [ watch ] (fun move -> sampler.Record(sample, move) |> ignore)

    [ { Name = "plain"; Run = fun () -> step [] (fun move -> move ()) }
      { Name = "with a sample"; Run = sampled } ]
    |> Alternate.run { WarmUp = 2; Rounds = 8; Seconds = 0.0 }

let private share every (timings: Timing list) =
    (timings[1].Median - timings[0].Median) / (float every * timings[0].Median)

let run () =
    printfn $"## Telemetry: ReActNet-18 on 32×32 images, batch {batch}, Adam, clipping and balance\n"
    MemoryReuse.Enable()

    for binarise in [ Activations; ActivationsAndWeights ] do
        let timings = compare binarise

        printfn
            $"{Names.binarise binarise}: a sample every 50 steps takes {100.0 * share 50 timings:f2} %% of their time\n"

        timings |> report "images/s" (fun t -> $"{float batch / t.Median:f1}")
