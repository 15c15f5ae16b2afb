namespace NormFree.Training

open System
open NormFree.Spec
open NormFree.Torch.Training
open TorchSharp
open TorchSharp.Modules

/// <summary>A recipe's optimiser and clipping at work on one network.</summary>
/// <remarks>
/// The arithmetic is TorchSharp's. Its state has names here, so that it can be kept in a checkpoint tensor by tensor:
/// <c>exp_avg</c>, <c>exp_avg_sq</c> and <c>step</c>, or <c>momentum_buffer</c>, for each parameter.
/// </remarks>
[<Sealed>]
type Optimisation(recipe: Recipe, network: Network) =

    let decayed, others =
        network.Parameters |> List.partition (fun (described, _) -> Recipe.decays recipe described)

    let clipped =
        network.Parameters
        |> List.filter (fun (described, _) -> Recipe.clips recipe described)
        |> List.map (fun (_, tensor) -> tensor :> torch.Tensor)

    let groups =
        [ decayed, recipe.WeightDecay; others, 0.0 ]
        |> List.filter (fun (members, _) -> not members.IsEmpty)

    let tensors members = members |> List.map snd

    let optimiser: OptimizerHelper =
        let rate = recipe.LearningRate

        match recipe.Optimiser with
        | Adam ->
            let group (members, decay: float) =
                Adam.ParamGroup(tensors members, Adam.Options(weight_decay = decay))

            torch.optim.Adam (List.map group groups, rate)
        | AdamW ->
            let group (members, decay: float) =
                AdamW.ParamGroup(tensors members, AdamW.Options(weight_decay = decay))

            torch.optim.AdamW (List.map group groups, rate)
        | Sgd momentum ->
            let group (members, decay: float) =
                SGD.ParamGroup(tensors members, SGD.Options(weight_decay = decay))

            torch.optim.SGD (List.map group groups, rate, momentum, nesterov = (momentum > 0.0))

    /// TorchSharp keeps states in the order of the groups' parameters.
    let names = groups |> List.collect fst |> List.map (fun (described: ParameterSpec, _) -> described.Key)

    let states () =
        Seq.zip names (optimiser.state_dict().State) |> Seq.toList

    /// <summary>Sets the learning rate of the steps to come.</summary>
    member _.SetRate(rate: float) =
        for group in optimiser.ParamGroups do
            group.LearningRate <- rate

    /// <summary>Clips the gradients, as the recipe says, and takes a step.</summary>
    member _.Step() : ClipCount =
        let count =
            match recipe.Clip with
            | NoClipping -> ClipCount()
            | Agc factor -> AdaptiveGradientClipping.Clip(clipped, factor)

        optimiser.step () |> ignore
        count

    /// <summary>The optimiser's state by name: live tensors and step counts, <c>parameter/slot</c>.</summary>
    member _.State: (string * Choice<torch.Tensor, int64>) list =
        [ for name, state in states () do
              match state with
              | :? Adam.State as s ->
                  $"{name}/exp_avg", Choice1Of2 s.exp_avg
                  $"{name}/exp_avg_sq", Choice1Of2 s.exp_avg_sq
                  $"{name}/step", Choice2Of2 s.step
              | :? AdamW.State as s ->
                  $"{name}/exp_avg", Choice1Of2 s.exp_avg
                  $"{name}/exp_avg_sq", Choice1Of2 s.exp_avg_sq
                  $"{name}/step", Choice2Of2 s.step
              | :? SGD.State as s ->
                  if not (isNull (box s.momentum_buffer)) then
                      $"{name}/momentum_buffer", Choice1Of2 s.momentum_buffer
              | other -> invalidOp $"No names for the state of {other.GetType()}." ]

    /// <summary>Puts a state back. A function of the name gives the tensor, which is copied, or the count; nothing where it has none.</summary>
    member _.Restore(tensor: string -> torch.Tensor option, count: string -> int64 option) =
        use _ = torch.no_grad ()

        let into (target: torch.Tensor) name =
            tensor name |> Option.iter (fun value -> target.copy_ value |> ignore)

        for name, state in states () do
            match state with
            | :? Adam.State as s ->
                into s.exp_avg $"{name}/exp_avg"
                into s.exp_avg_sq $"{name}/exp_avg_sq"
                count $"{name}/step" |> Option.iter (fun n -> s.step <- n)
            | :? AdamW.State as s ->
                into s.exp_avg $"{name}/exp_avg"
                into s.exp_avg_sq $"{name}/exp_avg_sq"
                count $"{name}/step" |> Option.iter (fun n -> s.step <- n)
            | :? SGD.State as s ->
                tensor $"{name}/momentum_buffer"
                |> Option.iter (fun value -> s.momentum_buffer <- value.clone().DetachFromDisposeScope())
            | other -> invalidOp $"No names for the state of {other.GetType()}."

    interface IDisposable with
        member _.Dispose() = optimiser.Dispose()
