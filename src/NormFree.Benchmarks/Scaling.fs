namespace NormFree.Benchmarks

open System
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Distributed
open NormFree.Training

/// <summary>A linear model of a phase's milliseconds in the number of images on a node.</summary>
type PhaseLine = { Fixed: float; PerImage: float }

/// <summary>A model of a training step: phases measured on one node, and the messages between nodes.</summary>
type StepModel =
    {
        /// Data and forward pass.
        Forward: PhaseLine
        Backward: PhaseLine
        /// Clipping and the optimiser, which do not depend on the number of images.
        Update: float
        /// Each message's bytes, in sending order, and the share of the backward pass after which it is ready.
        Messages: (float * float) list
        /// Bytes of sign centering's sum after the update. None without sign centering.
        SignCentering: float option
    }

/// <summary>Predicts the training speed of many nodes from a step on one node and the network between them.</summary>
/// <remarks>
/// A step takes the forward pass, the backward pass, the update, and the exposed part of the exchange. Messages are sent one after the other, each
/// as soon as it is ready. All parts of a network are assumed to have equally long backward passes. Sign centering's sum follows the update. All
/// nodes are assumed to be equally fast, and not to share their links.
/// </remarks>
[<RequireQualifiedAccess>]
module Scaling =

    /// <summary>The line through two measurements (images, milliseconds), or through one and the origin if both have the same number of
    /// images.</summary>
    let line (images: float, ms: float) (fewer: float, msOfFewer: float) =
        let perImage =
            if images > fewer then
                max 0.0 ((ms - msOfFewer) / (images - fewer))
            else
                ms / images

        { PerImage = perImage; Fixed = max 0.0 (ms - perImage * images) }

    /// <summary>The messages of a network's gradients, in the fused engine's order.</summary>
    let messages (net: NetSpec) =
        let parts = Lowering.parts net
        let count = List.length parts

        let sizes, places =
            [| for number, (_, graph) in List.indexed parts do
                   for parameter in Parameters.ofGraph graph -> 4L * parameter.Count, number |]
            |> Array.unzip

        [ for struct (first, length, lowest) in GradientBuckets.Plan(sizes, places, GradientBuckets.DefaultBytes) ->
              float (Array.sum sizes[first .. first + length - 1]), float (count - lowest) / float count ]

    /// <summary>Bytes that sign centering sums: the channels' means, and one mean square per layer.</summary>
    let signCenteringBytes (net: NetSpec) =
        Lowering.layers net
        |> List.sumBy (fun layer -> float sizeof<float> * float (layer.Convolution.In + 1))

    /// <summary>The model of a step measured with two batch sizes. Only the fused engine sends messages during the backward pass.</summary>
    let model (net: NetSpec) (large: BenchResult) (small: BenchResult) : StepModel =
        let images (result: BenchResult) = float result.Batch / float result.Ranks

        let fit pick = line (images large, pick large.PhaseMs) (images small, pick small.PhaseMs)

        { Forward = fit (fun phases -> phases.Data + phases.Forward)
          Backward = fit _.Backward
          Update = large.PhaseMs.Clip + large.PhaseMs.Step
          Messages = [ for bytes, ready in messages net -> bytes, (if large.Engine = Fused then ready else 1.0) ]
          SignCentering = if large.SignCentering then Some(signCenteringBytes net) else None }

    let private at (line: PhaseLine) images = line.Fixed + line.PerImage * images

    /// The time by which messages outlast the backward pass.
    let private exposed link nodes backward (messages: (float * float) list) =
        let sent before (bytes, ready) = max before (ready * backward) + NetworkLink.milliseconds link nodes bytes
        max 0.0 (List.fold sent 0.0 messages - backward)

    /// <summary>The step of this many nodes on batches of this total size.</summary>
    let predict (model: StepModel) (link: NetworkLink) batch nodes : Prediction =
        let images = (batch + nodes - 1) / nodes
        let alone count = at model.Forward count + at model.Backward count + model.Update
        let compute = alone (float images)
        let centering = model.SignCentering |> Option.fold (fun _ -> NetworkLink.milliseconds link nodes) 0.0
        let exposed = exposed link nodes (at model.Backward (float images)) model.Messages + centering
        let speed = 1000.0 * float batch / (compute + exposed)

        { Nodes = nodes
          Batch = batch
          ImagesPerNode = images
          StepMs = Medians.round (compute + exposed)
          ExchangeMs =
            Medians.round (centering + List.sumBy (fst >> NetworkLink.milliseconds link nodes) model.Messages)
          ExposedMs = Medians.round exposed
          ImagesPerSecond = Medians.round speed
          Efficiency = Medians.round (speed / (1000.0 * float batch / alone (float batch)) / float nodes) }

    /// <summary>Predictions with one batch split over all nodes, and with <c>ofNode</c> images on each node.</summary>
    let table (model: StepModel) (link: NetworkLink) batch ofNode (nodes: int list) : ScalingTable =
        let ofOwn count =
            let found = predict model link (ofNode * count) count
            let alone = predict model link ofNode 1

            { found with
                Efficiency = Medians.round (found.ImagesPerSecond / (float count * alone.ImagesPerSecond)) }

        { NetworkLink = link
          SameBatch = nodes |> List.map (predict model link batch)
          BatchPerNode = nodes |> List.map ofOwn }
