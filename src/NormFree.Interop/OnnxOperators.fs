namespace NormFree.Interop

open NormFree.Formats.Onnx
open NormFree.Networks
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open TorchSharp

/// Nodes of an ONNX graph for the operations of networks. Each function appends its nodes and returns the name of their output.
module internal OnnxOperators =

    let private channels (tensor: torch.Tensor) = [| tensor.numel (); 1L; 1L |]

    let attribute (name: string) (value: int) = OnnxAttribute.Of(name, int64 value)

    let attributes (name: string) (values: int list) = OnnxAttribute.Of(name, [| for value in values -> int64 value |])

    /// The signs and the scale of each filter for binary weights; the effective weight for real ones.
    let private weights (tensors: Map<string, torch.Tensor>) (conv: ConvolutionSpec) =
        let weight = tensors[$"{conv.Key}.weight"]
        let gain: torch.Tensor | null = if conv.Standardised then tensors[$"{conv.Key}.gain"] else null

        match conv.Weight with
        | Real ->
            let options = Convolutions.options conv
            Convolution.EffectiveWeight(weight, gain, &options), None
        | OneBit ->
            let latent = if conv.Standardised then WeightStandardisation.Apply weight else weight
            let mean = latent.abs().mean([| 1L; 2L; 3L |], keepdim = true)
            let scale = if conv.ScaledSigns then mean else torch.ones_like mean

            let scale =
                match gain with
                | null -> scale
                | gain -> scale * gain

            latent.sign (), Some(scale.Times conv.Factor)

    /// Merges convolutions that differ only in their filters into one, which has the first one's name.
    let convolve (b: OnnxGraphBuilder) tensors (convolutions: ConvolutionSpec list) input =
        use _ = torch.NewDisposeScope()
        let parts = convolutions |> List.map (weights tensors)
        let ofAll parts : torch.Tensor = torch.cat (List.toArray parts, 0L)
        let weight, scales = parts |> List.map fst |> ofAll, List.choose snd parts
        let conv = convolutions.Head

        let settings =
            [ attributes "kernel_shape" [ conv.Kernel; conv.Kernel ]
              attributes "pads" (List.replicate 4 conv.Padding)
              attributes "strides" [ conv.Stride; conv.Stride ]
              if conv.Dilation > 1 then
                  attributes "dilations" [ conv.Dilation; conv.Dilation ]
              if conv.Groups > 1 then
                  attribute "group" conv.Groups ]

        let result =
            b.Node("Conv", conv.Key, [ input; b.Constant($"{conv.Key}.weight", weight.shape, weight) ], settings)

        if scales.IsEmpty then
            result
        else
            let scale = ofAll scales
            b.Node("Mul", conv.Key, [ result; b.Constant($"{conv.Key}.scale", channels scale, scale) ], [])

    let add (b: OnnxGraphBuilder) key (bias: torch.Tensor) input =
        b.Node("Add", key, [ input; b.Constant(key, channels bias, bias) ], [])

    let shift (b: OnnxGraphBuilder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        add b key tensors[key] input

    let prelu (b: OnnxGraphBuilder) (tensors: Map<string, torch.Tensor>) (slopes: Slopes) input =
        let slope = SlopeTensors.values tensors slopes
        b.Node("PRelu", slopes.Key, [ input; b.Constant(slopes.Key, channels slope, slope) ], [])

    let rprelu b tensors (names: NormFree.Spec.RPReLU) input =
        input
        |> shift b tensors names.ShiftIn
        |> prelu b tensors names.Slopes
        |> shift b tensors names.ShiftOut

    /// Merges the batch norms of concatenated channels into one, which has the first one's name.
    let normalise (b: OnnxGraphBuilder) (tensors: Map<string, torch.Tensor>) (keys: string list) input =
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

    let scale (b: OnnxGraphBuilder) (factor: float) input =
        use value = torch.tensor factor
        b.Node("Mul", "scale", [ input; b.Constant($"scale.{factor:R}", [||], value) ], [])

    let linear (b: OnnxGraphBuilder) (tensors: Map<string, torch.Tensor>) (key: string) input =
        let constants =
            [ for part in [ "weight"; "bias" ] do
                  let tensor = tensors[$"{key}.{part}"]
                  b.Constant($"{key}.{part}", tensor.shape, tensor) ]

        b.Node("Gemm", key, input :: constants, [ attribute "transB" 1 ])

    let pool (b: OnnxGraphBuilder) operator kernel stride padding input =
        let settings =
            [ attributes "kernel_shape" [ kernel; kernel ]
              attributes "pads" (List.replicate 4 padding)
              attributes "strides" [ stride; stride ] ]

        b.Node(operator, "pool", [ input ], settings)

    /// ReduceMean keeps the axis by default; until opset 18 its axes are an attribute.
    let centerChannels (b: OnnxGraphBuilder) input =
        let mean = b.Node("ReduceMean", "center", [ input ], [ attributes "axes" [ 1 ] ])
        b.Node("Sub", "center", [ input; mean ], [])

    /// Padding of channels, axis 1.
    let padChannels (b: OnnxGraphBuilder) channels input =
        let pads = b.Integers($"pads.{channels}", [ 0L; 0L; 0L; 0L; 0L; int64 channels; 0L; 0L ])
        b.Node("Pad", "pad", [ input; pads ], [])

    let clip (b: OnnxGraphBuilder) input =
        use low = torch.tensor -1.0
        use high = torch.tensor 1.0

        b.Node(
            "Clip",
            "hardtanh",
            [ input; b.Constant("clip.low", [||], low); b.Constant("clip.high", [||], high) ],
            []
        )
