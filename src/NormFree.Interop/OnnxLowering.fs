namespace NormFree.Interop

open System
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open NormFree.Interop.OnnxOperators
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open TorchSharp

/// <summary>The batch size of an exported ONNX network.</summary>
type OnnxBatch =
    | OneImage
    /// A dynamic batch dimension.
    | AnyNumber

/// <summary>Lowers a network to an ONNX graph of standard operators, opset 17, in float32.</summary>
/// <remarks>
/// Binary activations are <c>Sign</c> nodes; sign(0) is 0, as in training. A binary convolution is a <c>Conv</c> with weights of −1 and +1, followed by
/// a <c>Mul</c> with one scale per filter, O×1×1. Standardised weights are standardised here. Constants are placed so that a runtime can fold them
/// into filters: α is part of the scales, β divides the sign's threshold, and RPReLU's first shift directly follows the convolution.
/// </remarks>
[<RequireQualifiedAccess>]
module OnnxLowering =

    /// The version of the operator set.
    let private opset = 17L

    let private emit b tensors op input =
        match op with
        | Op.Convolve conv -> convolve b tensors [ conv ] input
        | Op.Scale factor -> scale b factor input
        | Op.Shift(key, _) -> shift b tensors key input
        | Op.Sign _ -> b.Node("Sign", "sign", [ input ], [])
        | Op.RPReLU names -> rprelu b tensors names input
        | Op.PReLU(slopes, _) -> prelu b tensors slopes input
        | Op.ReLU -> b.Node("Relu", "relu", [ input ], [])
        | Op.HardTanh -> clip b input
        | Op.CustomActivation name ->
            raise (TrainingException $"the activation '{name}' is custom: ONNX has no operator for it.")
        | Op.Normalise(key, _) -> normalise b tensors [ key ] input
        | Op.MaxPool(kernel, stride, padding) -> pool b "MaxPool" kernel stride padding input
        | Op.AveragePool kernel -> pool b "AveragePool" kernel kernel 0 input
        | Op.CenterChannels -> centerChannels b input
        | Op.PadChannels channels -> padChannels b channels input
        | Op.GlobalAveragePool ->
            let pooled = b.Node("GlobalAveragePool", "pool", [ input ], [])
            b.Node("Flatten", "pool", [ pooled ], [ attribute "axis" 1 ])
        | Op.Flatten _ ->
            let vectors = b.Node("Flatten", "flatten", [ input ], [ attribute "axis" 1 ])
            b.Node("Unsqueeze", "flatten", [ vectors; b.Integers("map.axes", [ 2L; 3L ]) ], [])
        | Op.Linear(key, _, _) ->
            input |> (fun x -> b.TryUndo("Unsqueeze", x) |> Option.defaultValue x) |> linear b tensors key

    let private multiplied (factor: float) (conv: ConvolutionSpec) = { conv with Factor = conv.Factor * factor }

    /// α·N(w ∗ sign(β·x + b)). The sign of β·x + b is that of x + b/β.
    let private signConvolution
        (b: OnnxGraphBuilder)
        (tensors: Map<string, torch.Tensor>)
        (layer: SignConvolution)
        input
        =
        let convolutions = layer.Convolutions |> List.map (fst >> multiplied layer.Alpha)
        let normal = layer.NormBefore |> Option.fold (fun x key -> normalise b tensors [ key ] x) input

        let shifted =
            match layer.Shift with
            | None -> normal
            | Some key ->
                use threshold = tensors[key].DividedBy layer.Beta
                add b key threshold normal

        let result = convolve b tensors convolutions (b.Node("Sign", "sign", [ shifted ], []))

        match layer.Convolutions |> List.choose snd with
        | [] -> result
        // Networks with norms have α = 1.
        | keys -> normalise b tensors keys result

    /// A pooled shortcut. β moves to where it costs least: into the filters, or after the pooling.
    let private pooled (shortcut: PooledShortcut) =
        let projection =
            shortcut.Projection
            |> Option.map (fun found -> { found with Convolution = multiplied shortcut.Beta found.Convolution })

        Chain
            [ Op(Op.AveragePool shortcut.Kernel)
              match projection with
              | Some _ -> Graph.ofProjection projection
              | None when shortcut.Beta = 1.0 -> ()
              | None -> Op(Op.Scale shortcut.Beta) ]

    let rec private walk b tensors graph input =
        match graph with
        | Op op -> emit b tensors op input
        | Chain parts -> (input, parts) ||> List.fold (fun current part -> walk b tensors part current)
        | Residual(branch, shortcut) ->
            let result = walk b tensors branch input
            b.Node("Add", "residual", [ result; ofShortcut b tensors shortcut input ], [])
        | Parallel parts ->
            let results = [ for part in parts -> walk b tensors part input ]
            b.Node("Concat", "parallel", results, [ attribute "axis" 1 ])
        | Layer layer -> binaryLayer b tensors layer input

    and private ofShortcut b tensors shortcut input =
        match shortcut with
        | Pooled found -> walk b tensors (pooled found) input
        | _ -> walk b tensors (Graph.ofShortcut shortcut) input

    /// RPReLU's first shift is added before the residual sum, where a runtime can fold it into the convolution's bias.
    and private binaryLayer (b: OnnxGraphBuilder) tensors (layer: BinaryLayer) input =
        let branch = signConvolution b tensors layer.Convolution input

        let sum branch =
            match layer.Shortcut with
            | NoShortcut -> branch
            | Concatenated -> b.Node("Concat", "parallel", [ input; branch ], [ attribute "axis" 1 ])
            | shortcut -> b.Node("Add", "residual", [ branch; ofShortcut b tensors shortcut input ], [])

        match layer.Activation with
        | Some(Op.RPReLU names) when layer.Shortcut <> Concatenated ->
            branch
            |> shift b tensors names.ShiftIn
            |> sum
            |> prelu b tensors names.Slopes
            |> shift b tensors names.ShiftOut
        | Some op -> emit b tensors op (sum branch)
        | None -> sum branch

    let private value (name: string) (batch: OnnxBatch) (rest: int list) =
        let first =
            match batch with
            | OneImage -> OnnxDimension.Of 1L
            | AnyNumber -> OnnxDimension.Open "batch"

        let sizes = first :: [ for size in rest -> OnnxDimension.Of(int64 size) ]
        OnnxValue(name, DType.F32, List.toArray sizes)

    /// The metadata that a program needs to preprocess images and name classes.
    let private metadata (checkpoint: Checkpoint) =
        dict
            [ "normfree.spec", Json.write checkpoint.Network.Spec
              "normfree.classes", Json.write checkpoint.ImageTask.Classes
              "normfree.normalisation", Json.write checkpoint.ImageTask.Normalisation ]
        |> Collections.Generic.Dictionary

    /// <summary>Lowers the network of a checkpoint. Input <c>input</c>: N×3×Size×Size, normalised; output <c>logits</c>: N×classes.</summary>
    let lower (batch: OnnxBatch) (checkpoint: Checkpoint) : OnnxModel =
        use _ = torch.no_grad ()
        let network, size = checkpoint.Network, checkpoint.ImageTask.Size
        let b = OnnxGraphBuilder()

        walk b (Map network.Tensors) (Lowering.lower network.Spec) "input" |> ignore

        let last = b.Nodes.Count - 1

        b.Nodes[last] <-
            OnnxNode(
                b.Nodes[last].Operator,
                b.Nodes[last].Name,
                b.Nodes[last].Inputs,
                [| "logits" |],
                b.Nodes[last].Attributes
            )

        OnnxModel(
            opset,
            "NormFree",
            OnnxGraph(
                network.Spec.Name,
                b.Nodes,
                Seq.toArray b.Constants,
                [| value "input" batch [ 3; size; size ] |],
                [| value "logits" batch [ network.Spec.Classes ] |]
            ),
            metadata checkpoint
        )
