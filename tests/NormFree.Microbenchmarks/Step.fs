/// A training step of ReActNet-18 for 32×32 images, in every norm and stage.
module NormFree.Benchmarks.Step

open System
open NormFree.Benchmarks.Alternate
open NormFree.Distributed
open NormFree.Spec
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open TorchSharp

let private batch = 16

let private take (step: TrainingStep) images labels () =
    use _ = torch.NewDisposeScope()
    step.Gradients(images, labels, 0, []) |> ignore
    step.Clip()
    step.Update 5e-4 |> ignore

/// A network at work, to be disposed.
type private Worker =
    { Version: Version
      Network: Network
      Optimisation: Optimisation
      Step: TrainingStep }

    interface IDisposable with
        member w.Dispose() =
            (w.Step :> IDisposable).Dispose()
            (w.Optimisation :> IDisposable).Dispose()
            (w.Network :> IDisposable).Dispose()

let private worker images labels norm binarise =
    let net =
        ReActNet.reactNet18 Size.Full CifarStem
        |> Net.withClasses 10
        |> Net.withNorm norm
        |> Net.withBinarise binarise

    let network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
    let optimisation = new Optimisation(Recipe.published, network)
    let loss _ logits labels = Losses.CrossEntropy(logits, labels)
    let step = new TrainingStep(OneRank.Instance, 1, Recipe.published, network, optimisation, loss)

    { Version = { Name = $"{Names.norm norm}, {Names.binarise binarise}"; Run = take step images labels }
      Network = network
      Optimisation = optimisation
      Step = step }

let run () =
    use _ = torch.NewDisposeScope()
    printfn $"## Training step: ReActNet-18 on 32×32 images, batch {batch}, Adam and clipping\n"
    let images = torch.randn [| int64 batch; 3L; 32L; 32L |]
    let labels = torch.tensor (Array.init batch (fun i -> int64 (i % 10)))

    let workers =
        [ for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
              for binarise in [ Activations; ActivationsAndWeights ] -> worker images labels norm binarise ]

    try
        workers
        |> List.map _.Version
        |> Alternate.run { WarmUp = 1; Rounds = 3; Seconds = 40.0 }
        |> report "images/s" (fun t -> $"{float batch / t.Median:f1}")
    finally
        for worker in workers do
            (worker :> IDisposable).Dispose()
