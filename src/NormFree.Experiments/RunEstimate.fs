namespace NormFree.Experiments

open System.IO
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>What a stage will take, from its network and recipe: for the order of runs, and how many go side by side.</summary>
[<RequireQualifiedAccess>]
module internal RunEstimate =

    /// Bytes for each value of the maps that convolutions and norms give: 8 that the fused engine keeps, and what comes and goes around them
    /// (measured: 16 to 20, experiments/results/bench-train.md).
    let private bytesOfValue = 22.0

    /// Weight, gradient, two moments, and the copies that checkpoints are written from.
    let private bytesOfParameter = 32.0

    let private batchesInHand = 4.0

    let private mapValues size net =
        match Shapes.infer (Lowering.lower net) { C = 3; H = size; W = size } with
        | Error _ -> 0.0
        | Ok(operations, _) ->
            operations
            |> List.sumBy (fun (op, _, output) ->
                match op with
                | Convolve _
                | Normalise _ -> float output.C * float (output.H * output.W)
                | _ -> 0.0)

    let private teacherBytes (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path when File.Exists path -> float (FileInfo path).Length
        | _ -> 0.0

    /// <summary>Bytes at most, without libtorch's own, which a process has once. 0 for what cannot be trained at all.</summary>
    let memory (size: int) (net: NetSpec, recipe: Recipe) : int64 =
        match Summary.create size size net with
        | Error _ -> 0L
        | Ok summary ->
            let parameters = float (summary.Total.BinaryParameters + summary.Total.RealParameters)
            let image = bytesOfValue * mapValues size net + 4.0 * 3.0 * float (size * size) * batchesInHand
            int64 (bytesOfParameter * parameters + float recipe.Batch * image + teacherBytes recipe)

    /// <summary>Multiply-accumulates of the forward passes of all epochs, with their tests; a backward pass is twice as much of the same.</summary>
    let work (dataset: Dataset) (net: NetSpec, recipe: Recipe) : float =
        match Summary.create dataset.Size dataset.Size net with
        | Error _ -> 0.0
        | Ok { Total = cost } ->
            let images = float dataset.Train.Count + float dataset.Test.Count / 3.0
            float (cost.BinaryMacs + cost.MixedMacs + cost.RealMacs) * images * float recipe.Epochs
