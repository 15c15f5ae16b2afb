namespace NormFree.Training

open System
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Distributed
open TorchSharp

/// <summary>The parts of a training step, which benchmarks measure too: gradients, clipping, and the update by optimiser and sign centering.</summary>
/// <remarks>All ranks take the same steps. Dispose it before the network.</remarks>
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

    let gradients = new GradientStep(ranks, accumulate, network, loss)
    let centering = SignCentering(recipe, network)

    /// <summary>Messages that a step sends to other ranks, for gradients and for sign centering.</summary>
    member _.Messages = gradients.Messages + (if ranks.Size > 1 && centering.IsNeeded then 1 else 0)

    /// <summary>Sets the gradients, as <c>GradientStep.Run</c> does.</summary>
    member _.Gradients(images: torch.Tensor, labels: torch.Tensor, unreadable: int, hooks: MicroBatchHook list) =
        let centering = if network.IsFrozen then [] else [ centering.Hook ]
        gradients.Run(images, labels, unreadable, hooks @ centering)

    /// <summary>Clips the gradients.</summary>
    member _.Clip() = optimisation.Clip()

    /// <summary>Updates weights at this learning rate, centres signs unless the body is frozen, and follows with the weights' average; the time of
    /// the messages that this took.</summary>
    member _.Update(rate: float) : CommunicationTime =
        optimisation.Move rate

        let communication = if network.IsFrozen then CommunicationTime() else centering.Apply(ranks, rate)

        optimisation.Average()
        communication

    interface IDisposable with
        member _.Dispose() = (gradients :> IDisposable).Dispose()
