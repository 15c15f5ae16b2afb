namespace NormFree.Training

open System
open NormFree.Torch.Training
open NormFree.Torch.Training.Optimisers
open TorchSharp

/// <summary>A recipe's optimiser and clipping at work on one network.</summary>
[<Sealed>]
type Optimisation(recipe: Recipe, network: Network) =

    let parameters =
        [| for described, tensor in network.Parameters do
               let decay = if Recipe.decays recipe described then recipe.WeightDecay else 0.0
               OptimisedParameter(described.Key, tensor, decay) |]

    let clipped =
        network.Parameters
        |> List.filter (fun (described, _) -> Recipe.clips recipe described)
        |> List.map (fun (_, tensor) -> tensor :> torch.Tensor)

    let optimiser: Optimiser =
        match recipe.Optimiser with
        | Adam -> new Optimisers.Adam(parameters, decoupled = false)
        | AdamW -> new Optimisers.Adam(parameters, decoupled = true)
        | Sgd momentum -> new Optimisers.Sgd(parameters, momentum)

    /// <summary>Clips the gradients, as the recipe says, and takes a step at this learning rate.</summary>
    member _.Step(rate: float) : ClipCount =
        let count =
            match recipe.Clip with
            | NoClipping -> ClipCount()
            | Agc factor -> AdaptiveGradientClipping.Clip(clipped, factor)

        optimiser.Step rate
        count

    /// <summary>Steps taken so far.</summary>
    member _.Steps
        with get () = optimiser.Steps
        and set steps = optimiser.Steps <- steps

    /// <summary>The optimiser's live tensors by <c>parameter/slot</c>, with PyTorch's names of the slots.</summary>
    member _.State: (string * torch.Tensor) list =
        [ for struct (name, tensor) in optimiser.State -> name, tensor ]

    interface IDisposable with
        member _.Dispose() = optimiser.Dispose()
