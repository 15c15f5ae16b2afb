namespace NormFree.Benchmarks

open NormFree.Inference.Model
open NormFree.Kernels.Bits
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Training

/// <summary>Folds the final shift of each binary layer into the next layer, which saves one operation in engines that run them one by
/// one.</summary>
/// <remarks>
/// A per-channel constant passes through linear operations: it changes the next layer's thresholds and its shortcut's output. Rounding differs, so
/// that values next to a threshold may change their sign.
/// </remarks>
[<RequireQualifiedAccess>]
module internal ShiftFolding =

    /// The shortcut's output for a constant in each input channel.
    let private added (layer: BinaryLayer) (missing: float[]) o =
        match layer.Shortcut with
        | :? PooledInput as pooled ->
            let mean = float (pooled.Factor * float32 (pooled.Kernel * pooled.Kernel))

            match pooled.Projection with
            | null -> mean * missing[o]
            | projection ->
                let isPlus c = SignPacking.IsPlus(projection.Signs, o, layer.In, c)
                let sum = missing |> Seq.mapi (fun c value -> if isPlus c then value else -value) |> Seq.sum
                mean * float projection.Scale[o] * sum
        | _ -> missing[o % layer.In]

    let private binary (layer: BinaryLayer) missing =
        BinaryLayer(
            layer.Key,
            layer.In,
            layer.Out,
            layer.Kernel,
            layer.Stride,
            layer.Padding,
            Array.map2 (fun threshold value -> float32 (float threshold - value)) layer.Threshold missing,
            layer.Signs,
            layer.Scale,
            Array.init layer.Out (fun o -> float32 (float layer.Bias[o] + added layer missing o)),
            layer.Slope,
            Array.zeroCreate layer.Out,
            layer.Shortcut
        )

    let private classifier (layer: Classifier) (missing: float[]) =
        let bias k =
            let sum = missing |> Seq.mapi (fun c value -> value * float layer.Weights[k * layer.In + c]) |> Seq.sum
            float32 (float layer.Bias[k] + sum)

        Classifier(layer.Key, layer.In, layer.Classes, layer.Weights, Array.init layer.Classes bias)

    /// The layer for an input that lacks these constants (none before the first binary layer), and the constants that its output lacks.
    let private step (missing: float[]) (layer: PackedLayer) : PackedLayer * float[] =
        let missingOf channels = if missing.Length = 0 then Array.zeroCreate channels else missing

        match layer with
        | :? BinaryLayer as layer -> binary layer (missingOf layer.In), Array.map float layer.Shift
        | :? Classifier as layer -> classifier layer (missingOf layer.In), [||]
        | other -> other, missing

    /// <summary>The layers of an equivalent network whose binary layers have zero shifts.</summary>
    let layers (model: PackedModel) : PackedLayer list = List.ofSeq model.Layers |> List.mapFold step [||] |> fst
