namespace NormFree.Benchmarks

open System
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Distributed
open NormFree.Training

/// <summary>Milliseconds of a step's phases on one node, as a straight line in the node's images.</summary>
type PhaseLine = { Fixed: float; PerImage: float }

/// <summary>What is known of a step: measured on one node, and of its messages.</summary>
type StepModel =
    {
        /// Data and forward pass.
        Forward: PhaseLine
        Backward: PhaseLine
        /// Clipping and the optimiser's step, which do not depend on images.
        Update: float
        /// Bytes of each message in the order in which they are sent, and the share of the backward pass after which each is ready.
        Messages: (float * float) list
        /// Bytes of the sum behind the update that keeps signs balanced, where there is one.
        Balance: float option
    }

/// <summary>Predicts how fast many nodes train, from a step on one of them and the wire between them.</summary>
/// <remarks>
/// A step is its forward pass, backward pass and update, and what sticks out of the exchange: messages follow one another, each begins when it is ready,
/// and parts of a network are taken to have equal backward passes. The sum that keeps signs balanced is behind all that.
/// All nodes are taken to be equally fast, and to have the wire for themselves.
/// </remarks>
[<RequireQualifiedAccess>]
module Scaling =

    /// <summary>The line through two measurements, of images and their milliseconds, or through one and the origin where both are the same.</summary>
    let line (images: float, ms: float) (fewer: float, msOfFewer: float) =
        let perImage =
            if images > fewer then
                max 0.0 ((ms - msOfFewer) / (images - fewer))
            else
                ms / images

        { PerImage = perImage; Fixed = max 0.0 (ms - perImage * images) }

    /// <summary>The messages of a network's gradients, as the fused engine sends them.</summary>
    let messages (net: NetSpec) =
        let parts = Lowering.parts net
        let count = List.length parts

        let sizes, places =
            [| for number, (_, graph) in List.indexed parts do
                   for parameter in Parameters.ofGraph graph -> 4L * parameter.Count, number |]
            |> Array.unzip

        [ for struct (first, length, lowest) in GradientBuckets.Plan(sizes, places, GradientBuckets.DefaultBytes) ->
              float (Array.sum sizes[first .. first + length - 1]), float (count - lowest) / float count ]

    /// <summary>Bytes of what keeps a network's signs balanced: means of the channels, and a mean square of each layer.</summary>
    let balance (net: NetSpec) =
        SignLayers.convolutions net
        |> List.sumBy (fun (_, layer) -> float sizeof<float> * float ((fst layer.Convolutions.Head).In + 1))

    /// <summary>The model of a step that was measured with two sizes of its batch; the engine decides when messages are ready.</summary>
    let model (net: NetSpec) (large: BenchResult) (small: BenchResult) : StepModel =
        let images (result: BenchResult) = float result.Batch / float result.Ranks

        let fit pick = line (images large, pick large.PhaseMs) (images small, pick small.PhaseMs)

        { Forward = fit (fun phases -> phases.Data + phases.Forward)
          Backward = fit _.Backward
          Update = large.PhaseMs.Clip + large.PhaseMs.Step
          Messages = [ for bytes, ready in messages net -> bytes, (if large.Engine = Fused then ready else 1.0) ]
          Balance = if large.Balanced then Some(balance net) else None }

    let private at (line: PhaseLine) images = line.Fixed + line.PerImage * images

    /// How much longer than the backward pass the messages take, if anything.
    let private exposed wire nodes backward (messages: (float * float) list) =
        let sent before (bytes, ready) = max before (ready * backward) + NetworkLink.milliseconds wire nodes bytes
        max 0.0 (List.fold sent 0.0 messages - backward)

    /// <summary>The step of so many nodes on batches of that size.</summary>
    let predict (model: StepModel) (wire: NetworkLink) batch nodes : Prediction =
        let images = (batch + nodes - 1) / nodes
        let alone count = at model.Forward count + at model.Backward count + model.Update
        let compute = alone (float images)
        let balance = model.Balance |> Option.fold (fun _ -> NetworkLink.milliseconds wire nodes) 0.0
        let exposed = exposed wire nodes (at model.Backward (float images)) model.Messages + balance
        let speed = 1000.0 * float batch / (compute + exposed)

        { Nodes = nodes
          Batch = batch
          ImagesPerNode = images
          StepMs = Medians.round (compute + exposed)
          ExchangeMs = Medians.round (balance + List.sumBy (fst >> NetworkLink.milliseconds wire nodes) model.Messages)
          ExposedMs = Medians.round exposed
          ImagesPerSecond = Medians.round speed
          Efficiency = Medians.round (speed / (1000.0 * float batch / alone (float batch)) / float nodes) }

    /// <summary>Both tables: one batch for all nodes together, and a batch for each of them.</summary>
    let table (model: StepModel) (wire: NetworkLink) batch ofNode (nodes: int list) : ScalingTable =
        let ofOwn count =
            let found = predict model wire (ofNode * count) count
            let alone = predict model wire ofNode 1

            { found with
                Efficiency = Medians.round (found.ImagesPerSecond / (float count * alone.ImagesPerSecond)) }

        { NetworkLink = wire
          SameBatch = nodes |> List.map (predict model wire batch)
          BatchPerNode = nodes |> List.map ofOwn }
