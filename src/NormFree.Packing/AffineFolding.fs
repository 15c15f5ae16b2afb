namespace NormFree.Packing

open System
open System.Collections.Generic
open NormFree.Inference.Model
open NormFree.Spec
open TorchSharp

/// Scales, shifts, norms and an activation as one packed layer, in float64 and rounded once.
module internal AffineFolding =

    type private Folded = { Scale: float[]; Bias: float[]; Slope: float[]; Clamped: bool }

    let private fold (tensors: IReadOnlyDictionary<string, torch.Tensor>) count (folded: Folded) op =
        let values key = FoldedFilters.doubles tensors[key]

        match op with
        | Op.Scale factor ->
            { folded with
                Scale = folded.Scale |> Array.map ((*) factor)
                Bias = folded.Bias |> Array.map ((*) factor) }
        | Op.Shift(key, _) -> { folded with Bias = Array.map2 (+) folded.Bias (values key) }
        | Op.Normalise(key, _) ->
            let factors, offsets = FoldedFilters.norm tensors count (Some key)

            { folded with
                Scale = Array.map2 (*) folded.Scale factors
                Bias = Array.map3 (fun bias factor offset -> bias * factor + offset) folded.Bias factors offsets }
        | Op.ReLU -> { folded with Slope = Array.create count 0.0 }
        | Op.PReLU(slopes, _) -> { folded with Slope = FoldedFilters.slopes tensors slopes }
        | Op.HardTanh -> { folded with Clamped = true }
        | other -> invalidOp $"%A{other} is not affine"

    /// The layer of these operations for a map of so many channels.
    let ofOps tensors key count (ops: Op list) : PackedLayer =
        let start =
            { Scale = Array.create count 1.0
              Bias = Array.zeroCreate count
              Slope = Array.create count 1.0
              Clamped = false }

        let folded = List.fold (fold tensors count) start ops
        let bound value = if folded.Clamped then value else value * Single.PositiveInfinity

        PackedAffine(
            key,
            count,
            Array.map float32 folded.Scale,
            Array.map float32 folded.Bias,
            Array.map float32 folded.Slope,
            bound -1.0f,
            bound 1.0f
        )
