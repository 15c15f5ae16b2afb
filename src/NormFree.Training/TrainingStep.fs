namespace NormFree.Training

open System
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Distributed
open TorchSharp

/// <summary>The step of a training, which benchmarks measure: its gradients, then clipping, then a move of the weights along them, and of shifts
/// and gains towards balance.</summary>
/// <remarks>All ranks take the same ones. Dispose it before the network.</remarks>
[<Sealed>]
type internal TrainingStep
    (
        ranks: IRanks,
        accumulate: int,
        recipe: Recipe,
        network: Network,
        optimisation: Optimisation,
        loss: torch.Tensor -> torch.Tensor -> torch.Tensor -> torch.Tensor
    ) =

    let descent = new GradientStep(ranks, accumulate, network, loss)
    let centering = SignCentering(recipe, network)

    /// <summary>How many messages it sends, of gradients and of balance.</summary>
    member _.Messages = descent.Messages + (if ranks.Size > 1 && centering.IsNeeded then 1 else 0)

    /// <summary>Sets the gradients, as <c>GradientStep.Run</c> does.</summary>
    member _.Descend(images: torch.Tensor, labels: torch.Tensor, unreadable: int, watches: MicroBatchHook list) =
        descent.Run(images, labels, unreadable, watches @ [ centering.Watch ])

    /// <summary>Clips the gradients.</summary>
    member _.Clip() = optimisation.Clip()

    /// <summary>Moves weights and shifts at this learning rate; what that has told other ranks.</summary>
    member _.Move(rate: float) : CommunicationTime =
        optimisation.Move rate
        centering.Apply(ranks, rate)

    interface IDisposable with
        member _.Dispose() = (descent :> IDisposable).Dispose()
