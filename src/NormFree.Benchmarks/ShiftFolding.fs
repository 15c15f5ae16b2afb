namespace NormFree.Benchmarks

open NormFree.Inference.Model
open NormFree.Kernels.Bits
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Training

/// <summary>Moves the shift that ends a binary layer into what reads the layer: one operation less for engines that run them one by one.</summary>
/// <remarks>
/// A constant of each channel passes through everything that is linear: it changes the next threshold, and what the next shortcut adds. Rounding
/// differs, so that values next to a threshold may get the other sign.
/// </remarks>
[<RequireQualifiedAccess>]
module internal ShiftFolding =

    /// What a layer's shortcut makes of a constant of each channel, by output channel.
    let private added (layer: PackedBinaryLayer) (missing: float[]) o =
        match layer.Shortcut with
        | :? AveragePoolShortcut as pooled ->
            let mean = float (pooled.Factor * float32 (pooled.Kernel * pooled.Kernel))

            match pooled.Projection with
            | null -> mean * missing[o]
            | projection ->
                let isPlus c = SignPacking.IsPlus(projection.Signs, o, layer.In, c)
                let sum = missing |> Seq.mapi (fun c value -> if isPlus c then value else -value) |> Seq.sum
                mean * float projection.Scale[o] * sum
        | _ -> missing[o % layer.In]

    let private binary (layer: PackedBinaryLayer) missing =
        PackedBinaryLayer(
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

    let private classifier (layer: PackedClassifier) (missing: float[]) =
        let bias k =
            let sum = missing |> Seq.mapi (fun c value -> value * float layer.Weights[k * layer.In + c]) |> Seq.sum
            float32 (float layer.Bias[k] + sum)

        PackedClassifier(layer.Key, layer.In, layer.Classes, layer.Weights, Array.init layer.Classes bias)

    /// The layer for an input that lacks something, nothing in front of the first binary layer, and what its own output lacks.
    let private step (missing: float[]) (layer: PackedLayer) : PackedLayer * float[] =
        let missingOf channels = if missing.Length = 0 then Array.zeroCreate channels else missing

        match layer with
        | :? PackedBinaryLayer as layer -> binary layer (missingOf layer.In), Array.map float layer.Shift
        | :? PackedClassifier as layer -> classifier layer (missingOf layer.In), [||]
        | other -> other, missing

    /// <summary>The layers of a network that computes the same; the shifts of its binary layers are 0.</summary>
    let layers (model: PackedModel) : PackedLayer list = List.ofSeq model.Layers |> List.mapFold step [||] |> fst
