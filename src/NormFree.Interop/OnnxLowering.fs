namespace NormFree.Interop

open System
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open NormFree.Training
open TorchSharp

/// <summary>How many images an exported ONNX network takes at once.</summary>
type OnnxBatch =
    | OneImage
    /// As many as the caller gives.
    | AnyNumber

/// <summary>A network as an ONNX graph of standard operators, opset 17, in float32.</summary>
/// <remarks>
/// Binary activations are <c>Sign</c> nodes, whose sign(0) is 0 as in training. A binary convolution is a <c>Conv</c> with weights of −1 and +1, then a
/// <c>Mul</c> with the scale of each filter, O×1×1. Standardised weights are standardised here, once.
/// </remarks>
[<RequireQualifiedAccess>]
module OnnxLowering =

    /// What the standard calls the operators' version.
    let private opset = 17L

    /// Collects a graph's nodes and constants.
    type private Builder() =
        let nodes = ResizeArray<OnnxNode>()
        let constants = Collections.Generic.Dictionary<string, OnnxTensor>()

        member _.Nodes = nodes
        member _.Constants = constants.Values

        /// A constant of that name and shape; the first of a name counts.
        member _.Constant(name: string, shape: int64[], value: torch.Tensor) =
            use _ = torch.NewDisposeScope()
            let bytes = TensorBytes.ofTensor (value.``to`` torch.ScalarType.Float32)
            constants.TryAdd(name, OnnxTensor(name, DType.F32, shape, ReadOnlyMemory bytes)) |> ignore
            name

        /// An operation; its result has its name.
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

    /// The signs of a binary weight and the factor of each filter; a real weight as it is used.
    let private weights (tensors: Map<string, torch.Tensor>) (conv: ConvolutionSpec) =
        let weight = tensors[$"{conv.Key}.weight"]
        let gain: torch.Tensor | null = if conv.Standardised then tensors[$"{conv.Key}.gain"] else null

        match conv.Weight with
        | Real ->
            let options = ConvolutionOptions(conv.Stride, conv.Padding, conv.Standardised, false, conv.Factor)
            Convolution.UsedWeight(weight, gain, &options), None
        | OneBit ->
            let latent = if conv.Standardised then WeightStandardisation.Apply weight else weight
            let scale = latent.abs().mean([| 1L; 2L; 3L |], keepdim = true)

            let scale =
                match gain with
                | null -> scale
                | gain -> scale * gain

            latent.sign (), Some(scale.Times conv.Factor)

    let private convolve (b: Builder) tensors (conv: ConvolutionSpec) input =
        use _ = torch.NewDisposeScope()
        let weight, scale = weights tensors conv

        let settings =
            [ attributes "kernel_shape" [ conv.Kernel; conv.Kernel ]
              attributes "pads" (List.replicate 4 conv.Padding)
              attributes "strides" [ conv.Stride; conv.Stride ] ]

        let result =
            b.Node("Conv", conv.Key, [ input; b.Constant($"{conv.Key}.weight", weight.shape, weight) ], settings)

        match scale with
        | None -> result
        | Some scale -> b.Node("Mul", conv.Key, [ result; b.Constant($"{conv.Key}.scale", channels scale, scale) ], [])

    let private shift (b: Builder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        let bias = tensors[key]
        b.Node("Add", key, [ input; b.Constant(key, channels bias, bias) ], [])

    let private rprelu (b: Builder) (tensors: Map<string, torch.Tensor>) (names: NormFree.Spec.RPReLU) input =
        let shifted = shift b tensors names.ShiftIn input
        let slope = tensors[names.Slope]
        let bent = b.Node("PRelu", names.Slope, [ shifted; b.Constant(names.Slope, channels slope, slope) ], [])
        shift b tensors names.ShiftOut bent

    let private normalise (b: Builder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        let statistics =
            [ for part in [ "weight"; "bias"; "running_mean"; "running_var" ] do
                  let tensor = tensors[$"{key}.{part}"]
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

    let private emit b tensors op input =
        match op with
        | Convolve conv -> convolve b tensors conv input
        | Scale factor -> scale b factor input
        | Shift(key, _) -> shift b tensors key input
        | Sign -> b.Node("Sign", "sign", [ input ], [])
        | RPReLU names -> rprelu b tensors names input
        | ReLU -> b.Node("Relu", "relu", [ input ], [])
        | Normalise(key, _) -> normalise b tensors key input
        | MaxPool(kernel, stride, padding) -> pool b "MaxPool" kernel stride padding input
        | AveragePool kernel -> pool b "AveragePool" kernel kernel 0 input
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

    let private value (name: string) (batch: OnnxBatch) (rest: int list) =
        let first =
            match batch with
            | OneImage -> OnnxDimension.Of 1L
            | AnyNumber -> OnnxDimension.Open "batch"

        let sizes = first :: [ for size in rest -> OnnxDimension.Of(int64 size) ]
        OnnxValue(name, DType.F32, List.toArray sizes)

    /// What a program that runs the network needs to know of its images.
    let private metadata (checkpoint: Checkpoint) =
        dict
            [ "normfree.spec", Json.write checkpoint.Network.Spec
              "normfree.classes", Json.write checkpoint.Task.Classes
              "normfree.normalisation", Json.write checkpoint.Task.Normalisation ]
        |> Collections.Generic.Dictionary

    /// <summary>The network of a checkpoint. Input <c>input</c>: N×3×Size×Size, normalised; output <c>logits</c>: N×classes.</summary>
    let lower (batch: OnnxBatch) (checkpoint: Checkpoint) : OnnxModel =
        use _ = torch.no_grad ()
        let network, size = checkpoint.Network, checkpoint.Task.Size
        let b = Builder()
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
