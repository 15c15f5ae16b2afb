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

    /// The shortcut, its contribution to the layer's bias, and its number of zero weights.
    let private shortcut tensors (shortcut: LayerShortcut) : PackedShortcut * float[] option * int64 =
        match shortcut with
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
        | NoShortcut -> NormFree.Inference.Model.NoShortcut(), None, 0L
        | Concatenated -> ConcatenatedShortcut(), None, 0L
        | RepeatedInput _ -> IdentityShortcut(), None, 0L
        | Computed _ -> invalidOp "PackedStep refuses computed shortcuts"

    /// The activation as an RPReLU: its first shift, its slope and its second shift. PackedStep refuses others.
    let private activation (tensors: IReadOnlyDictionary<string, torch.Tensor>) (layer: BinaryLayer) =
        let all value = Array.create layer.Convolution.Out value
        let values key = FoldedFilters.doubles tensors[key]

        match layer.Activation with
        | Some(Op.RPReLU names) ->
            values names.ShiftIn, FoldedFilters.slopes tensors names.Slopes, values names.ShiftOut
        | Some(Op.PReLU(slopes, _)) -> all 0.0, FoldedFilters.slopes tensors slopes, all 0.0
        | Some Op.ReLU -> all 0.0, all 0.0, all 0.0
        | _ -> all 0.0, all 1.0, all 0.0

    let private binary tensors key (layer: BinaryLayer) : PackedLayer * int64 =
        let convolution = layer.Convolution
        let signInput = SignInputs.ofConvolution tensors convolution
        let first = fst convolution.Convolutions.Head
        let filters, offset = FoldedFilters.folded tensors convolution.Convolutions
        let shortcut, added, zeros = shortcut tensors layer.Shortcut
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
            signInput.Thresholds,
            FoldedFilters.flipped signInput.Flipped filters.Signs,
            filters.Scale |> Array.map (fun scale -> float32 (convolution.Alpha * scale)),
            singles bias,
            singles slope,
            singles shiftOut,
            shortcut
        ),
        filters.Zeros + zeros

    let private real tensors key (conv: ConvolutionSpec) normKey side : PackedLayer =
        let weights, offset = FoldedFilters.real tensors conv normKey

        let weights =
            if conv.Kernel = 1 then
                FoldedFilters.channelsLast side conv.Out conv.In weights
            else
                weights

        PackedConvolution(
            key,
            conv.In,
            conv.Out,
            conv.Kernel,
            conv.Stride,
            conv.Padding,
            singles weights,
            singles offset,
            conv.Groups
        )

    /// The shortcut of an addition, and its bias as a layer before it if there is one.
    let private add tensors key from (found: LayerShortcut) : PackedLayer list * int64 =
        let shortcut, bias, zeros = shortcut tensors found

        let pooled: AveragePoolShortcut | null =
            match shortcut with
            | :? AveragePoolShortcut as pooled -> pooled
            | _ -> null

        [ match bias with
          | Some bias when Array.exists ((<>) 0.0) bias ->
              let all value = Array.create bias.Length value

              PackedAffine(
                  $"{key}.bias",
                  bias.Length,
                  all 1.0f,
                  singles bias,
                  all 1.0f,
                  Single.NegativeInfinity,
                  Single.PositiveInfinity
              )
          | _ -> ()
          PackedAdd(key, from, pooled) ],
        zeros

    let private classifier (tensors: IReadOnlyDictionary<string, torch.Tensor>) name key inputs classes side =
        let values suffix = FoldedFilters.doubles tensors[$"{key}.{suffix}"]
        let weights = FoldedFilters.channelsLast side classes inputs (values "weight")
        PackedClassifier(name, inputs, classes, singles weights, singles (values "bias"))

    /// The map before a step: its channels, and the side of the map that was flattened to it, or 1.
    type private Input = { Channels: int; Side: int }

    let private after (input: Input) (step: PackedStep) =
        let channels =
            match step.Kind with
            | RealLayer(conv, _) -> conv.Out
            | Packed { Shortcut = Concatenated; Convolution = convolution } -> input.Channels + convolution.Out
            | Packed { Convolution = convolution } -> convolution.Out
            | FlattenLayer side -> input.Channels * side * side
            | _ -> input.Channels

        match step.Kind with
        | FlattenLayer side -> { Channels = channels; Side = side }
        | _ -> { Channels = channels; Side = 1 }

    /// The layers of a step, and its number of zero weights.
    let private layers tensors (input: Input) (step: PackedStep) : PackedLayer list * int64 =
        match step.Kind with
        | RealLayer(conv, normKey) -> [ real tensors step.Key conv normKey input.Side ], 0L
        | MaxPoolLayer(kernel, stride, padding) -> [ PackedMaxPool(step.Key, kernel, stride, padding) ], 0L
        | AveragePoolLayer kernel -> [ PackedAveragePool(step.Key, kernel) ], 0L
        | FlattenLayer _ -> [ PackedFlatten step.Key ], 0L
        | AffineLayer ops -> [ AffineFolding.ofOps tensors step.Key input.Channels ops ], 0L
        | Packed layer ->
            let packed, zeros = binary tensors step.Key layer
            [ packed ], zeros
        | AddLayer(from, shortcut) -> add tensors step.Key from shortcut
        | ClassifierLayer(key, inputs, classes) -> [ classifier tensors step.Key key inputs classes input.Side ], 0L

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

        let layers, _ =
            ({ Channels = 3; Side = 1 }, steps)
            ||> List.mapFold (fun input step -> layers tensors input step, after input step)


        let model =
            PackedModel(
                Architecture = network.Spec.Name,
                Height = task.Size,
                Width = task.Size,
                Mean = task.Normalisation.Mean,
                Deviation = task.Normalisation.Deviation,
                Preprocessing = List.toArray (PackedPreprocessing.ofSteps task.Preprocessing),
                Classes = task.Classes,
                Layers = (layers |> List.collect fst |> List.toArray),
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
