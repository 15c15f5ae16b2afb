namespace NormFree.Networks

open System
open NormFree.Runs
open NormFree.Torch.Training
open NormFree.Torch.Training.Optimisers
open TorchSharp

/// <summary>The optimiser and gradient clipping of a recipe for one network.</summary>
/// <remarks>While the network's body is frozen, the optimiser and its state have the classifier's parameters only, and nothing is clipped. When the
/// body is released, an optimiser of all parameters starts with an empty state: the steps of the frozen epochs would bias its averages.</remarks>
[<Sealed>]
type Optimisation(recipe: Recipe, network: Network) =

    /// The composite engine is the test oracle of all kernels, including the optimiser's.
    let composite = (network.Execution.Engine = Composite)

    let parametersOf isChosen =
        [| for described, tensor in network.Parameters |> List.filter (fst >> isChosen) do
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

    let create isChosen : ParameterOptimiser =
        let parameters = parametersOf isChosen

        match recipe.Optimiser with
        | Adam -> new Optimisers.Adam(parameters, decoupled = false, Composite = composite)
        | AdamW -> new Optimisers.Adam(parameters, decoupled = true, Composite = composite)
        | AdamP -> new Optimisers.AdamP(parameters)
        | Sgd momentum -> new Optimisers.Sgd(parameters, momentum, Composite = composite)
        | CustomOptimiser name -> Extensions.optimiser name parameters

    let average: WeightAverage option =
        recipe.WeightAverage
        |> Option.map (fun decay ->
            new WeightAverage([ for name, tensor in network.Tensors -> struct (name, tensor) ], decay))

    let createFor epoch = create (if Recipe.isFrozen recipe epoch then Network.IsOfClassifier else (fun _ -> true))

    do network.IsFrozen <- Recipe.isFrozen recipe 0

    let mutable optimiser = createFor 0

    /// <summary>Freezes or releases the body as the recipe says for an epoch, counted from 0. The optimiser's state is empty after a change.</summary>
    member _.StartEpoch(epoch: int) =
        if network.IsFrozen <> Recipe.isFrozen recipe epoch then
            network.IsFrozen <- Recipe.isFrozen recipe epoch
            optimiser.Dispose()
            optimiser <- createFor epoch

    /// <summary>Clips the gradients as the recipe specifies.</summary>
    member _.Clip() =
        match recipe.Clip with
        | Agc factor when not network.IsFrozen -> clip factor
        | Agc _
        | NoClipping -> ()

    /// <summary>Takes an optimiser step at this learning rate.</summary>
    member _.Move(rate: float) = optimiser.Step rate

    /// <summary>Adds the weights after a step to their average, if the recipe has one.</summary>
    member _.Average() = average |> Option.iter _.Follow(optimiser.Steps - 1L)

    /// <summary>Calls a function while the network has the averaged weights, if the recipe averages them.</summary>
    member _.WithAverage(call: unit -> 'T) : 'T =
        match average with
        | None -> call ()
        | Some average ->
            average.Swap()

            try
                call ()
            finally
                average.Swap()

    /// <summary>Replaces the network's weights by their average, if the recipe averages them: the end of a stage.</summary>
    member _.AdoptAverage() = average |> Option.iter _.Swap()

    /// <summary>The clip counts of each clipped parameter, in the order of use. Set them to continue from earlier counts, or to an empty list to
    /// restart.</summary>
    member _.ClipCounts
        with get (): (string * ClipCount) list =
            match counts with
            | Some found -> [ for (key, _), count in Array.zip clipped found -> key, count ]
            | None -> []
        and set (values: (string * ClipCount) list) =
            let known = dict values
            counts <- if values.IsEmpty then None else Some [| for key, _ in clipped -> known[key] |]

    /// <summary>The norm of each parameter's gradient: not finite if any value is not finite or exceeds 1e19.</summary>
    member _.GradientNorms() : float[] = GradientNorms.Of tensors

    /// <summary>The parameters' names, in the same order.</summary>
    member _.Names = names

    /// <summary>The number of steps so far.</summary>
    member _.Steps
        with get () = optimiser.Steps
        and set steps = optimiser.Steps <- steps

    /// <summary>The optimiser's tensors by <c>parameter/slot</c>, with PyTorch's slot names. They change with each step.</summary>
    member _.State: (string * torch.Tensor) list =
        [ for struct (name, tensor) in optimiser.State do
              yield name, tensor
          match average with
          | Some average ->
              for struct (name, tensor) in average.State do
                  yield name, tensor
          | None -> () ]

    interface IDisposable with
        member _.Dispose() =
            optimiser.Dispose()
            average |> Option.iter _.Dispose()
