/// What a look inside the layers costs: training steps with and without one, by turns.
module NormFree.Benchmarks.TelemetryCost

open NormFree.Benchmarks.Alternate
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Training
open NormFree.Training
open TorchSharp

let private batch = 64

/// Two networks that are the same: a step of one with its sample takes turns with a step of the other without.
let private compare binarise =
    use _ = torch.NewDisposeScope()
    let net = ReActNet.cifar18 |> Net.withBinarise binarise
    use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
    use optimisation = new Optimisation({ Recipe.corrected with Batch = batch }, network)
    let images = torch.randn [| int64 batch; 3L; 32L; 32L |]
    let labels = torch.tensor (Array.init batch (fun i -> int64 (i % 10)))
    let watched () = Some(torch.randn [| int64 Recorder.WatchedImages; 3L; 32L; 32L |])
    use sampler = new Sampler("stage", network, optimisation, watched)

    /// As a training does it.
    let step (look: Look) around () =
        use _ = torch.NewDisposeScope()
        let loss = Losses.CrossEntropy(network.Forward(images, Train, look), labels)
        loss.item<float32>() |> ignore
        network.Backward loss
        Numbers.gradient optimisation |> ignore
        around (fun () -> optimisation.Step 1e-4)

    let sampled () =
        let sample = sampler.Begin(Position.startOf 0)
        step (sampler.Look sample) (fun move -> sampler.Around(sample, move) |> ignore) ()

    [ { Name = "plain"; Run = step (fun _ _ _ -> ()) (fun move -> move ()) }
      { Name = "with a sample"; Run = sampled } ]
    |> Alternate.run { WarmUp = 2; Rounds = 8; Seconds = 0.0 }

let private share every (timings: Timing list) =
    (timings[1].Median - timings[0].Median) / (float every * timings[0].Median)

let run () =
    printfn $"## Telemetry: ReActNet-18 on 32×32 images, batch {batch}, Adam and clipping\n"
    MemoryReuse.Enable()

    for binarise in [ Activations; ActivationsAndWeights ] do
        let timings = compare binarise

        printfn
            $"{Words.binarise binarise}: a sample every 50 steps takes {100.0 * share 50 timings:f2} %% of their time\n"

        timings |> report "images/s" (fun t -> $"{float batch / t.Median:f1}")
