namespace NormFree.Interop

open System
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
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

    /// Collects the nodes and constants of a graph.
    type private Builder() =
        let nodes = ResizeArray<OnnxNode>()
        let constants = Collections.Generic.Dictionary<string, OnnxTensor>()

        member _.Nodes = nodes
        member _.Constants = constants.Values

        /// Adds a constant unless its name exists.
        member _.Constant(name: string, shape: int64[], value: torch.Tensor) =
            use _ = torch.NewDisposeScope()
            let bytes = TensorBytes.ofTensor (value.``to`` torch.ScalarType.Float32)
            constants.TryAdd(name, OnnxTensor(name, DType.F32, shape, ReadOnlyMemory bytes)) |> ignore
            name

        /// Adds a node whose output has the name of the node.
        member _.Node(operator: string, name: string, inputs: string list, attributes: OnnxAttribute list) =
            let name = $"{name}/{operator}"

            let same =
                nodes |> Seq.filter (fun node -> node.Name = name || node.Name.StartsWith(name + "#")) |> Seq.length

            let name = if same = 0 then name else $"{name}#{same + 1}"
            nodes.Add(OnnxNode(operator, name, List.toArray inputs, [| name |], List.toArray attributes))
            name

    let private channels (tensor: torch.Tensor) = [| tensor.numel (); 1L; 1L |]

    let private attribute (name: string) (value: int) = OnnxAttribute.Of(name, int64 value)

    let private attributes (name: string) (values: int list) =
        OnnxAttribute.Of(name, [| for value in values -> int64 value |])

    /// The signs and the scale of each filter for binary weights; the effective weight for real ones.
    let private weights (tensors: Map<string, torch.Tensor>) (conv: ConvolutionSpec) =
        let weight = tensors[$"{conv.Key}.weight"]
        let gain: torch.Tensor | null = if conv.Standardised then tensors[$"{conv.Key}.gain"] else null

        match conv.Weight with
        | Real ->
            let options = ConvolutionOptions(conv.Stride, conv.Padding, conv.Standardised, false, conv.Factor)
            Convolution.EffectiveWeight(weight, gain, &options), None
        | OneBit ->
            let latent = if conv.Standardised then WeightStandardisation.Apply weight else weight
            let scale = latent.abs().mean([| 1L; 2L; 3L |], keepdim = true)

            let scale =
                match gain with
                | null -> scale
                | gain -> scale * gain

            latent.sign (), Some(scale.Times conv.Factor)

    /// Merges convolutions that differ only in their filters into one, which has the first one's name.
    let private convolve (b: Builder) tensors (convolutions: ConvolutionSpec list) input =
        use _ = torch.NewDisposeScope()
        let parts = convolutions |> List.map (weights tensors)
        let ofAll parts : torch.Tensor = torch.cat (List.toArray parts, 0L)
        let weight, scales = parts |> List.map fst |> ofAll, List.choose snd parts
        let conv = convolutions.Head

        let settings =
            [ attributes "kernel_shape" [ conv.Kernel; conv.Kernel ]
              attributes "pads" (List.replicate 4 conv.Padding)
              attributes "strides" [ conv.Stride; conv.Stride ] ]

        let result =
            b.Node("Conv", conv.Key, [ input; b.Constant($"{conv.Key}.weight", weight.shape, weight) ], settings)

        if scales.IsEmpty then
            result
        else
            let scale = ofAll scales
            b.Node("Mul", conv.Key, [ result; b.Constant($"{conv.Key}.scale", channels scale, scale) ], [])

    let private add (b: Builder) key (bias: torch.Tensor) input =
        b.Node("Add", key, [ input; b.Constant(key, channels bias, bias) ], [])

    let private shift (b: Builder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        add b key tensors[key] input

    let private prelu (b: Builder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        let slope = tensors[key]
        b.Node("PRelu", key, [ input; b.Constant(key, channels slope, slope) ], [])

    let private rprelu b tensors (names: NormFree.Spec.RPReLU) input =
        input
        |> shift b tensors names.ShiftIn
        |> prelu b tensors names.Slope
        |> shift b tensors names.ShiftOut

    /// Merges the batch norms of concatenated channels into one, which has the first one's name.
    let private normalise (b: Builder) (tensors: Map<string, torch.Tensor>) (keys: string list) input =
        use _ = torch.NewDisposeScope()
        let key = keys.Head

        let statistics =
            [ for part in [ "weight"; "bias"; "running_mean"; "running_var" ] do
                  let tensor = torch.cat ([| for key in keys -> tensors[$"{key}.{part}"] |], 0L)
                  b.Constant($"{key}.{part}", tensor.shape, tensor) ]

        b.Node(
            "BatchNormalization",
            key,
            input :: statistics,
            [ OnnxAttribute.Of("epsilon", float32 Graph.normEpsilon) ]
        )

    let private scale (b: Builder) (factor: float) input =
        use value = torch.tensor factor
        b.Node("Mul", "scale", [ input; b.Constant($"scale.{factor:R}", [||], value) ], [])

    let private linear (b: Builder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        let constants =
            [ for part in [ "weight"; "bias" ] do
                  let tensor = tensors[$"{key}.{part}"]
                  b.Constant($"{key}.{part}", tensor.shape, tensor) ]

        b.Node("Gemm", key, input :: constants, [ attribute "transB" 1 ])

    let private pool (b: Builder) operator kernel stride padding input =
        let settings =
            [ attributes "kernel_shape" [ kernel; kernel ]
              attributes "pads" (List.replicate 4 padding)
              attributes "strides" [ stride; stride ] ]

        b.Node(operator, "pool", [ input ], settings)

    /// ReduceMean keeps the axis by default; until opset 18 its axes are an attribute.
    let private centerChannels (b: Builder) input =
        let mean = b.Node("ReduceMean", "center", [ input ], [ attributes "axes" [ 1 ] ])
        b.Node("Sub", "center", [ input; mean ], [])

    let private emit b tensors op input =
        match op with
        | Convolve conv -> convolve b tensors [ conv ] input
        | Scale factor -> scale b factor input
        | Shift(key, _) -> shift b tensors key input
        | Sign -> b.Node("Sign", "sign", [ input ], [])
        | RPReLU names -> rprelu b tensors names input
        | ReLU -> b.Node("Relu", "relu", [ input ], [])
        | Normalise(key, _) -> normalise b tensors [ key ] input
        | MaxPool(kernel, stride, padding) -> pool b "MaxPool" kernel stride padding input
        | AveragePool kernel -> pool b "AveragePool" kernel kernel 0 input
        | CenterChannels -> centerChannels b input
        | GlobalAveragePool ->
            let pooled = b.Node("GlobalAveragePool", "pool", [ input ], [])
            b.Node("Flatten", "pool", [ pooled ], [ attribute "axis" 1 ])
        | Op.Linear(key, _, _) -> linear b tensors key input

    let rec private walk b tensors graph input =
        match graph with
        | Op op -> emit b tensors op input
        | Chain parts -> (input, parts) ||> List.fold (fun current part -> walk b tensors part current)
        | Residual(branch, shortcut) ->
            let result = walk b tensors branch input
            b.Node("Add", "residual", [ result; walk b tensors shortcut input ], [])
        | Parallel parts ->
            let results = [ for part in parts -> walk b tensors part input ]
            b.Node("Concat", "parallel", results, [ attribute "axis" 1 ])

    let private multiplied (factor: float) (conv: ConvolutionSpec) = { conv with Factor = conv.Factor * factor }

    /// α·N(w ∗ sign(β·x + b)). The sign of β·x + b is that of x + b/β.
    let private signConvolution (b: Builder) (tensors: Map<string, torch.Tensor>) (layer: SignConvolution) input =
        let convolutions = layer.Convolutions |> List.map (fst >> multiplied layer.Alpha)
        use threshold = tensors[layer.Shift].DividedBy layer.Beta
        let sign = b.Node("Sign", "sign", [ add b layer.Shift threshold input ], [])
        let result = convolve b tensors convolutions sign

        match layer.Convolutions |> List.choose snd with
        | [] -> result
        // Networks with norms have α = 1.
        | keys -> normalise b tensors keys result

    /// Moves a constant factor of the input to where it costs least: into the filters, or after the pooling.
    let private later graph =
        match graph with
        | Chain(Op(Scale beta) :: Op(AveragePool kernel) :: Op(Convolve conv) :: rest) ->
            Chain(Op(AveragePool kernel) :: Op(Convolve(multiplied beta conv)) :: rest)
        | Chain(Op(Scale beta) :: Op(AveragePool kernel) :: Op CenterChannels :: Op(Convolve conv) :: rest) ->
            Chain(Op(AveragePool kernel) :: Op CenterChannels :: Op(Convolve(multiplied beta conv)) :: rest)
        | Chain [ Op(Scale beta); Op(AveragePool kernel) ] -> Chain [ Op(AveragePool kernel); Op(Scale beta) ]
        | other -> other

    let private shortcut (b: Builder) tensors (layer: FusedLayer) input =
        match layer.Shortcut with
        | Computed graph -> walk b tensors (later graph) input
        | RepeatedInput ->
            let inputs = (fst layer.Convolution.Convolutions.Head).In
            let repeats = layer.Activation.Channels / inputs

            if repeats = 1 then
                input
            else
                b.Node("Concat", "repeat", List.replicate repeats input, [ attribute "axis" 1 ])

    /// RPReLU's first shift is added before the residual sum, where a runtime can fold it into the convolution's bias.
    let private layer (b: Builder) tensors (layer: FusedLayer) input =
        let branch =
            signConvolution b tensors layer.Convolution input |> shift b tensors layer.Activation.ShiftIn

        b.Node("Add", "residual", [ branch; shortcut b tensors layer input ], [])
        |> prelu b tensors layer.Activation.Slope
        |> shift b tensors layer.Activation.ShiftOut

    let private part b tensors input part =
        match part with
        | Plain graph -> walk b tensors graph input
        | Layer fused -> layer b tensors fused input

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
        let b = Builder()

        Fusion.parts (Lowering.lower network.Spec)
        |> List.fold (part b (Map network.Tensors)) "input"
        |> ignore

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
