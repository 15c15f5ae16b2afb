namespace NormFree.Experiments

open System.IO
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>Estimates a stage's memory and work from its network and recipe, to schedule runs.</summary>
[<RequireQualifiedAccess>]
module internal RunEstimate =

    /// Bytes per value of the outputs of convolutions and norms: the fused engine keeps 8, temporaries take the rest
    /// (measured: 16 to 20, experiments/results/bench-train.md).
    let private bytesPerValue = 22.0

    /// Weight, gradient, two moments, and the copies for checkpoints.
    let private bytesPerParameter = 32.0

    let private prefetchedBatches = 4.0

    let private mapValues size net =
        match Shapes.infer (Lowering.lower net) { C = 3; H = size; W = size } with
        | Error _ -> 0.0
        | Ok(operations, _) ->
            operations
            |> List.sumBy (fun (op, _, output) ->
                match op with
                | Op.Convolve _
                | Op.Normalise _ -> float output.C * float (output.H * output.W)
                | _ -> 0.0)

    let private teacherBytes (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path when File.Exists path -> float (FileInfo path).Length
        | _ -> 0.0

    /// <summary>An upper estimate in bytes, without libtorch itself, which a process loads once. 0 for a network that cannot be trained.</summary>
    let memory (size: int) (net: NetSpec, recipe: Recipe) : int64 =
        match Summary.create size size net with
        | Error _ -> 0L
        | Ok summary ->
            let parameters = float (summary.Total.BinaryParameters + summary.Total.RealParameters)
            let image = bytesPerValue * mapValues size net + 4.0 * 3.0 * float (size * size) * prefetchedBatches
            int64 (bytesPerParameter * parameters + float recipe.Batch * image + teacherBytes recipe)

    /// <summary>Multiply-accumulates of the forward passes of all epochs, evaluations included. Backward passes, twice as long, weigh an
    /// evaluated image a third of a trained one.</summary>
    let work (dataset: Dataset) (net: NetSpec, recipe: Recipe) : float =
        match Summary.create dataset.Size dataset.Size net with
        | Error _ -> 0.0
        | Ok { Total = cost } ->
            let images = float dataset.Train.Count + float dataset.Test.Count / 3.0
            float (cost.BinaryMacs + cost.MixedMacs + cost.RealMacs) * images * float recipe.Epochs
