namespace NormFree.Training

open System
open NormFree.Networks
open NormFree.Runs
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
module internal FiniteChecks =

    /// A gradient's norm so many times the epoch's mean explodes.
    let private explosion = 100.0

    /// Steps of an epoch before its mean says anything.
    let private settled = 20

    let private isFinite (tensor: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        not (tensor.is_floating_point ()) || tensor.isfinite().all().item<bool>()

    /// The first part of the network that has a value which is not finite, as a parameter or in its result for these images; `loss` where none has.
    let firstNotFinite (network: Network) (images: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let tensors = dict network.Tensors
        let graphs = dict (Lowering.parts network.Spec)
        let found = ResizeArray()

        // A sign hides what is wrong with its argument: a shift must be looked at itself.
        let look part _ result =
            let parameters = [ for described in Parameters.ofGraph graphs[part] -> tensors[described.Key] ]

            if found.Count = 0 && not (List.forall isFinite (result :: parameters)) then
                found.Add part

        network.Forward(images, Evaluate, look) |> ignore
        found |> Seq.tryHead |> Option.defaultValue "loss"

    /// Whether a channel with that share of +1 has one sign everywhere.
    let isOneSign share = share = 0.0 || share = 1.0

    /// Layers with channels that have one sign everywhere, and how many, from the shares of +1 by layer and channel.
    let oneSign (shares: (string * float[]) list) =
        [ for layer, channels in shares do
              let dead = channels |> Array.filter isOneSign |> Array.length

              if dead > 0 then
                  layer, dead ]

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
    let explodes (position: TrainingCursor) norm =
        let mean = position.Norms / float (max 1 position.Step)
        if position.Step >= settled && norm > explosion * mean then Some mean else None
