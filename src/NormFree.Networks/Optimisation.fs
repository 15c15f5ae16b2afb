namespace NormFree.Networks

open System
open NormFree.Runs
open NormFree.Torch.Training
open NormFree.Torch.Training.Optimisers
open TorchSharp

/// <summary>A recipe's optimiser and clipping at work on one network.</summary>
[<Sealed>]
type Optimisation(recipe: Recipe, network: Network) =

    /// The composite engine is the oracle of all kernels, those of the parameters among them.
    let composite = (network.Execution.Engine = Composite)

    let parameters =
        [| for described, tensor in network.Parameters do
               let decay = if Recipe.decays recipe described then recipe.WeightDecay else 0.0
               OptimisedParameter(described.Key, tensor, decay, Recipe.rateFactor recipe network.Spec described) |]

    let clipped =
        [| for described, tensor in network.Parameters do
               if Recipe.clips recipe described then
                   described.Key, tensor :> torch.Tensor |]

    let names = [| for described, _ in network.Parameters -> described.Key |]
    let tensors = [| for _, tensor in network.Parameters -> tensor :> torch.Tensor |]
    let clippedTensors = Array.map snd clipped

    let mutable counts: ClipCount[] option = None

    let clip factor =
        let found =
            if composite then
                [| for tensor in clippedTensors -> AdaptiveGradientClipping.Clip(tensor, factor) |]
            else
                AdaptiveGradientClipping.Clip(clippedTensors, factor)

        counts <-
            match counts with
            | Some before -> Some(Array.map2 (fun (a: ClipCount) b -> a + b) before found)
            | None -> Some found

    let optimiser: ParameterOptimiser =
        match recipe.Optimiser with
        | Adam -> new Optimisers.Adam(parameters, decoupled = false, Composite = composite)
        | AdamW -> new Optimisers.Adam(parameters, decoupled = true, Composite = composite)
        | Sgd momentum -> new Optimisers.Sgd(parameters, momentum, Composite = composite)

    /// <summary>Clips the gradients as the recipe says.</summary>
    member _.Clip() =
        match recipe.Clip with
        | NoClipping -> ()
        | Agc factor -> clip factor

    /// <summary>Moves the parameters along their gradients at this learning rate.</summary>
    member _.Move(rate: float) = optimiser.Step rate

    /// <summary>What was clipped of each parameter since counting began anew, in the order of their use; set it to go on counting from there, and
    /// to nothing to begin anew.</summary>
    member _.ClipCounts
        with get (): (string * ClipCount) list =
            match counts with
            | Some found -> [ for (key, _), count in Array.zip clipped found -> key, count ]
            | None -> []
        and set (values: (string * ClipCount) list) =
            let known = dict values
            counts <- if values.IsEmpty then None else Some [| for key, _ in clipped -> known[key] |]

    /// <summary>The norm of every parameter's gradient, in their order: not finite where any of its values is not, or is beyond 1e19.</summary>
    member _.GradientNorms() : float[] = GradientNorms.Of tensors

    /// <summary>The parameters' names, in their order.</summary>
    member _.Names = names

    /// <summary>Steps taken so far.</summary>
    member _.Steps
        with get () = optimiser.Steps
        and set steps = optimiser.Steps <- steps

    /// <summary>The optimiser's live tensors by <c>parameter/slot</c>, with PyTorch's names of the slots.</summary>
    member _.State: (string * torch.Tensor) list =
        [ for struct (name, tensor) in optimiser.State -> name, tensor ]

    interface IDisposable with
        member _.Dispose() = optimiser.Dispose()
