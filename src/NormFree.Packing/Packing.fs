namespace NormFree.Packing

open System
open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Inference.Model
open NormFree.Torch
open TorchSharp

/// <summary>A packed network.</summary>
type Packed =
    {
        Model: PackedModel
        /// Binary weights that are exactly 0 before the sign: the trained network uses 0, the packed one +1 (deviation 13).
        ZeroWeights: int64
    }

/// <summary>Packs networks.</summary>
/// <remarks>
/// Signs are taken from the weights in their own element type. Everything else is computed in float64 and rounded to float32 once. With a norm
/// y ↦ a·y + d (a = γ/√(var + ε), d = bias − mean·a), a layer's convolution becomes α·factor·gain·mean|v|·a·(signs ∗ s) + d, and RPReLU's first
/// shift and the norm of the shortcut's convolution are added to d.
/// </remarks>
[<RequireQualifiedAccess>]
module Packing =

    let private singles (values: float[]) = Array.map float32 values

    /// The thresholds of x for the signs of β·x + b.
    let private thresholds (tensors: IReadOnlyDictionary<string, torch.Tensor>) (convolution: SignConvolution) =
        match convolution.Shift with
        | None -> Array.create convolution.In (Threshold.single convolution.Beta 0.0f)
        | Some key when tensors[key].dtype = torch.ScalarType.Float64 ->
            FoldedFilters.doubles tensors[key] |> Array.map (Threshold.double convolution.Beta)
        | Some key ->
            FoldedFilters.doubles tensors[key] |> Array.map (float32 >> Threshold.single convolution.Beta)

    /// The shortcut, its contribution to the layer's bias, and its number of zero weights.
    let private shortcut tensors (layer: BinaryLayer) : PackedShortcut * float[] option * int64 =
        match layer.Shortcut with
        | Pooled { Beta = beta; Kernel = kernel; Projection = projection } ->
            let factor = float32 (beta / float (kernel * kernel))

            match projection with
            | None -> AveragePoolShortcut(kernel, factor, null), None, 0L
            | Some { Convolution = conv; Norm = norm } when conv.Weight = Real ->
                let weights, offset = FoldedFilters.real tensors conv norm
                AveragePoolShortcut(kernel, factor, RealProjection(singles weights)), Some offset, 0L
            | Some { Convolution = conv; Norm = norm; Centered = centered } ->
                let filters, offset = FoldedFilters.folded tensors [ conv, norm ]

                AveragePoolShortcut(kernel, factor, BinaryProjection(filters.Signs, singles filters.Scale, centered)),
                Some offset,
                filters.Zeros
        | _ -> IdentityShortcut(), None, 0L

    /// The activation as an RPReLU: its first shift, its slope and its second shift. PackedStep refuses others.
    let private activation (tensors: IReadOnlyDictionary<string, torch.Tensor>) (layer: BinaryLayer) =
        let all value = Array.create layer.Convolution.Out value
        let values key = FoldedFilters.doubles tensors[key]

        match layer.Activation with
        | Some(Op.RPReLU names) -> values names.ShiftIn, values names.Slope, values names.ShiftOut
        | Some(Op.PReLU(key, _)) -> all 0.0, values key, all 0.0
        | Some Op.ReLU -> all 0.0, all 0.0, all 0.0
        | _ -> all 0.0, all 1.0, all 0.0

    let private binary tensors key (layer: BinaryLayer) : PackedLayer * int64 =
        let convolution = layer.Convolution
        let first = fst convolution.Convolutions.Head
        let filters, offset = FoldedFilters.folded tensors convolution.Convolutions
        let shortcut, added, zeros = shortcut tensors layer
        let shiftIn, slope, shiftOut = activation tensors layer
        let bias = Array.map2 (+) offset shiftIn
        let bias = added |> Option.map (Array.map2 (+) bias) |> Option.defaultValue bias

        PackedBinaryLayer(
            key,
            first.In,
            filters.Scale.Length,
            first.Kernel,
            first.Stride,
            first.Padding,
            thresholds tensors convolution,
            filters.Signs,
            filters.Scale |> Array.map (fun scale -> float32 (convolution.Alpha * scale)),
            singles bias,
            singles slope,
            singles shiftOut,
            shortcut
        ),
        filters.Zeros + zeros

    let private real
        (tensors: IReadOnlyDictionary<string, torch.Tensor>)
        key
        (conv: ConvolutionSpec)
        normKey
        : PackedLayer =
        let weights, offset = FoldedFilters.real tensors conv normKey

        PackedConvolution(
            key,
            conv.In,
            conv.Out,
            conv.Kernel,
            conv.Stride,
            conv.Padding,
            singles weights,
            singles offset
        )

    let private layer (tensors: IReadOnlyDictionary<string, torch.Tensor>) (step: PackedStep) : PackedLayer * int64 =
        match step.Kind with
        | RealLayer(conv, normKey) -> real tensors step.Key conv normKey, 0L
        | MaxPoolLayer(kernel, stride, padding) -> PackedMaxPool(step.Key, kernel, stride, padding), 0L
        | Packed layer -> binary tensors step.Key layer
        | ClassifierLayer(key, inputs, classes) ->
            let values suffix = singles (FoldedFilters.doubles tensors[$"{key}.{suffix}"])
            PackedClassifier(step.Key, inputs, classes, values "weight", values "bias"), 0L

    /// Checks tensors by name: NaN or infinity in a scale or bias would be found later, without the name of its cause.
    let private requireFinite (network: Network) =
        for name, tensor in network.Tensors do
            let values = FoldedFilters.doubles tensor

            match values |> Array.tryFindIndex (Double.IsFinite >> not) with
            | Some place ->
                raise (
                    TrainingException
                        $"{network.Spec.Name}, tensor {name}: value {place} is {values[place]}. Such a network cannot be packed: use a checkpoint \
                          from before its training diverged."
                )
            | None when
                name.EndsWith(".running_var", StringComparison.Ordinal) && Array.exists (fun v -> v < 0.0) values
                ->
                raise (
                    TrainingException
                        $"{network.Spec.Name}, tensor {name}: a variance is negative. Use another checkpoint."
                )
            | None -> ()

    let private notes (task: ImageTask) (training: string) (spec: NetSpec) =
        readOnlyDict [ "spec", Json.write spec; "dataset", task.Dataset; "training", training ]

    /// <summary>Packs a network for images of this task; <c>training</c> is a text that describes its training.</summary>
    /// <remarks>Throws TrainingException if its weights are not binary, or if a value or the preprocessing cannot be packed.</remarks>
    let pack (task: ImageTask) (training: string) (network: Network) : Packed =
        use _ = torch.no_grad ()
        let steps = PackedStep.ofNet network.Spec
        requireFinite network
        let tensors = dict network.Tensors |> Dictionary
        let layers = steps |> List.map (layer tensors)

        let model =
            PackedModel(
                Architecture = network.Spec.Name,
                Height = task.Size,
                Width = task.Size,
                Mean = task.Normalisation.Mean,
                Deviation = task.Normalisation.Deviation,
                Preprocessing = List.toArray (PackedPreprocessing.ofSteps task.Preprocessing),
                Classes = task.Classes,
                Layers = (layers |> List.map fst |> List.toArray),
                Notes = notes task training network.Spec
            )

        match ModelChecks.Find model with
        | null -> { Model = model; ZeroWeights = List.sumBy snd layers }
        | problem -> raise (TrainingException $"{network.Spec.Name} cannot be packed: {problem}.")

    /// The description of a training for a packed file: its last epoch.
    let internal describe (stage: string) (history: EpochRecord list) =
        match List.tryLast history with
        | None -> stage
        | Some last ->
            $"{stage}, epoch {last.Epoch} of {last.Epochs}: top-1 {100.0 * last.Test.Top1:F2} %% on {last.Test.Images} test images"

    /// <summary>Packs the network of a checkpoint.</summary>
    /// <remarks>Throws TrainingException if its weights are not binary, or if a value or the preprocessing cannot be packed.</remarks>
    let ofCheckpoint (checkpoint: Checkpoint) : Packed =
        pack checkpoint.ImageTask (describe checkpoint.State.Stage checkpoint.State.History) checkpoint.Network
