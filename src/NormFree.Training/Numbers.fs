namespace NormFree.Training

open System
open NormFree.Spec
open TorchSharp

/// A step's gradient.
type internal Gradient =
    {
        /// Over all parameters.
        Norm: float
        /// The parameter whose part of it is the largest.
        Largest: string
    }

/// What is wrong with the numbers of a network, if anything.
[<RequireQualifiedAccess>]
module internal Numbers =

    /// A gradient's norm so many times the epoch's mean explodes.
    let private explosion = 100.0

    /// Steps of an epoch before its mean says anything.
    let private settled = 20

    let private isFinite (tensor: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        not (tensor.is_floating_point ()) || tensor.isfinite().all().item<bool>()

    /// Runs the network operation by operation, as in a test; `look` gets the part's name, the operation, its input and its result.
    let private walk (network: Network) (images: torch.Tensor) look =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let tensors = dict network.Tensors |> System.Collections.Generic.Dictionary
        let mutable part = ""
        let observe op x result = look part op x result
        let observed = CompositeEngine(Convolutions.plain tensors, tensors, observe)

        (images, Lowering.parts network.Spec)
        ||> List.fold (fun x (name, graph) ->
            part <- name
            observed.Run(Evaluate, graph, x))
        |> ignore

    /// The first part of the network whose result is not finite for these images; `loss` where all of them are.
    let firstNotFinite network images =
        let found = ResizeArray()

        walk network images (fun part _ _ result ->
            if found.Count = 0 && not (isFinite result) then
                found.Add part)

        found |> Seq.tryHead |> Option.defaultValue "loss"

    /// Binary layers with channels whose values before the sign all lie on one side for these images: how many, by layer.
    let oneSign network images =
        let found = ResizeArray()

        walk network images (fun part op (x: torch.Tensor) _ ->
            match op with
            | Sign ->
                use _ = torch.NewDisposeScope()
                let positive: torch.Tensor = x.ge (torch.zeros_like x)
                let all, any = positive.all(0L).all(1L).all 1L, positive.any(0L).any(1L).any 1L
                let dead = all.logical_or(any.logical_not ()).sum().item<int64>()

                if dead > 0L then
                    found.Add(part, int dead)
            | _ -> ())

        List.ofSeq found

    /// The first tensor of network or optimiser that has a value which is not finite.
    let notFinite (network: Network) (optimisation: Optimisation) =
        network.Tensors @ optimisation.State |> List.tryFind (snd >> isFinite >> not) |> Option.map fst

    /// The gradients' norm and where it is largest, or the parameter whose gradient is not finite.
    let gradient (optimisation: Optimisation) : Result<Gradient, string> =
        let norms = optimisation.GradientNorms()

        match Array.tryFindIndex (Double.IsFinite >> not) norms with
        | Some place -> Error optimisation.Names[place]
        | None ->
            Ok
                { Norm = norms |> Array.sumBy (fun norm -> norm * norm) |> sqrt
                  Largest = optimisation.Names[Array.IndexOf(norms, Array.max norms)] }

    /// Whether a gradient's norm explodes, seen from the steps of the epoch before it: then their mean.
    let explodes (position: Position) norm =
        let mean = position.Norms / float (max 1 position.Step)
        if position.Step >= settled && norm > explosion * mean then Some mean else None
