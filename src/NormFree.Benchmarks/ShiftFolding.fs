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

    /// The effective weights of one output channel of a projection.
    let projectionFilter inputs (projection: PackedProjection) o : float[] =
        match projection with
        | :? RealProjection as real -> Array.init inputs (fun c -> float real.Weights[o * inputs + c])
        | :? BinaryProjection as binary ->
            let signs =
                Array.init inputs (fun c -> if SignPacking.IsPlus(binary.Signs, o, inputs, c) then 1.0 else -1.0)

            let mean = if binary.Centered then Array.average signs else 0.0
            signs |> Array.map (fun sign -> float binary.Scale[o] * (sign - mean))
        | other -> invalidArg (nameof projection) $"There is no projection of kind {other.GetType().Name}."

    /// The shortcut's output for a constant in each input channel.
    let private added (layer: PackedBinaryLayer) (missing: float[]) o =
        match layer.Shortcut with
        | :? AveragePoolShortcut as pooled ->
            let mean = float (pooled.Factor * float32 (pooled.Kernel * pooled.Kernel))

            match pooled.Projection with
            | null -> mean * missing[o]
            | projection -> mean * Array.sum (Array.map2 (*) missing (projectionFilter layer.In projection o))
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

    /// The layer for an input that lacks these constants (none before the first binary layer), and the constants that its output lacks.
    let private step (missing: float[]) (layer: PackedLayer) : PackedLayer * float[] =
        let missingOf channels = if missing.Length = 0 then Array.zeroCreate channels else missing

        match layer with
        | :? PackedBinaryLayer as layer -> binary layer (missingOf layer.In), Array.map float layer.Shift
        | :? PackedClassifier as layer -> classifier layer (missingOf layer.In), [||]
        | other -> other, missing

    /// Whether a constant only meets binary layers and the classifier.
    let private isChain (layers: PackedLayer list) =
        layers
        |> List.skipWhile (fun layer -> not (layer :? PackedBinaryLayer))
        |> List.forall (fun layer ->
            match layer with
            | :? PackedClassifier -> true
            | :? PackedBinaryLayer as binary ->
                not (binary.Shortcut :? NoShortcut || binary.Shortcut :? ConcatenatedShortcut)
            | _ -> false)

    /// <summary>The layers of an equivalent network whose binary layers have zero shifts; the network's own layers if it is not a chain of binary
    /// layers.</summary>
    let layers (model: PackedModel) : PackedLayer list =
        let layers = List.ofSeq model.Layers
        if isChain layers then layers |> List.mapFold step [||] |> fst else layers
