namespace NormFree.Training

open System
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// Statistics of a step's gradient.
type internal Gradient =
    {
        /// The norm over all parameters.
        Norm: float
        /// The parameter whose gradient has the largest norm.
        Largest: string
    }

/// Finds NaN, infinity, exploding gradients and dead channels.
[<RequireQualifiedAccess>]
module internal FiniteChecks =

    /// A gradient explodes if its norm exceeds this multiple of the epoch's mean.
    let private explosion = 100.0

    /// The number of steps after which the epoch's mean is used.
    let private minSteps = 20

    let private isFinite (tensor: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        not (tensor.is_floating_point ()) || tensor.isfinite().all().item<bool>()

    /// The first part of the network with NaN or infinity in a parameter or in its output for these images.
    let firstNotFinite (network: Network) (images: torch.Tensor) : string option =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let tensors = dict network.Tensors
        let graphs = dict (Lowering.parts network.Spec)
        let found = ResizeArray()

        // Parameters are checked too: the sign after a shift turns NaN into a finite value.
        let check part _ result =
            let parameters = [ for described in Parameters.ofGraph graphs[part] -> tensors[described.Key] ]

            if found.Count = 0 && not (List.forall isFinite (result :: parameters)) then
                found.Add part

        network.Forward(images, Evaluate, { ForwardHook.none with Block = check }) |> ignore
        Seq.tryHead found

    /// Whether a channel with this fraction of +1 has the same sign everywhere.
    let isOneSign fraction = fraction = 0.0 || fraction = 1.0

    /// Layers with channels that have the same sign everywhere, and their number, from the fractions of +1 by layer and channel.
    let oneSign (fractions: (string * float[]) list) =
        [ for layer, channels in fractions do
              let dead = channels |> Array.filter isOneSign |> Array.length

              if dead > 0 then
                  layer, dead ]

    /// The first tensor of network or optimiser with NaN or infinity.
    let notFinite (network: Network) (optimisation: Optimisation) =
        network.Tensors @ optimisation.State |> List.tryFind (snd >> isFinite >> not) |> Option.map fst

    /// The gradient's statistics, or the first parameter whose gradient has NaN or infinity.
    let gradient (optimisation: Optimisation) : Result<Gradient, string> =
        let norms = optimisation.GradientNorms()

        match Array.tryFindIndex (Double.IsFinite >> not) norms with
        | Some index -> Error optimisation.Names[index]
        | None ->
            Ok
                { Norm = norms |> Array.sumBy (fun norm -> norm * norm) |> sqrt
                  Largest = optimisation.Names[Array.IndexOf(norms, Array.max norms)] }

    /// The mean norm of the epoch's earlier steps, if this norm explodes.
    let explodes (cursor: TrainingCursor) norm =
        let mean = cursor.Norms / float (max 1 cursor.Step)
        if cursor.Step >= minSteps && norm > explosion * mean then Some mean else None
