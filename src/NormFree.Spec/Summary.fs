namespace NormFree.Spec

/// <summary>The cost of a network or of a part of it. MACs are per image and include padding.</summary>
type Cost =
    {
        /// One-bit weights.
        BinaryParameters: int64
        /// All other trained values.
        RealParameters: int64
        /// Multiply-accumulates of two binary operands.
        BinaryMacs: int64
        /// Multiply-accumulates of one binary and one real operand.
        MixedMacs: int64
        RealMacs: int64
        /// Size of the packed file's tensors: sign planes in 64-bit words, one float scale per filter, 4 bytes per real value, and a bias for
        /// real convolutions. Names and spec add up to 1.5 %.
        PackedBytes: int64
    }

    static member Zero =
        { BinaryParameters = 0L
          RealParameters = 0L
          BinaryMacs = 0L
          MixedMacs = 0L
          RealMacs = 0L
          PackedBytes = 0L }

    static member (+)(a, b) =
        { BinaryParameters = a.BinaryParameters + b.BinaryParameters
          RealParameters = a.RealParameters + b.RealParameters
          BinaryMacs = a.BinaryMacs + b.BinaryMacs
          MixedMacs = a.MixedMacs + b.MixedMacs
          RealMacs = a.RealMacs + b.RealMacs
          PackedBytes = a.PackedBytes + b.PackedBytes }

    member c.Parameters = c.BinaryParameters + c.RealParameters

    /// <summary>OPs as in the ReActNet papers: real operations + binary operations / 64.</summary>
    member c.Ops = float (c.RealMacs + c.MixedMacs) + float c.BinaryMacs / 64.0

    /// <summary>Bytes of the parameters: 1 bit per binary weight, 4 bytes per real value.</summary>
    member c.MemoryBytes = (c.BinaryParameters + 7L) / 8L + 4L * c.RealParameters

/// <summary>One row of a summary.</summary>
type LayerSummary =
    {
        Name: string
        Input: Shape
        Output: Shape
        /// Precision of the main convolution's activation and weight. None for the classifier, which is real.
        Operands: (OperandPrecision * OperandPrecision) option
        Cost: Cost
    }

/// <summary>A network's layers and their costs for one input size.</summary>
type Summary = { Net: NetSpec; Layers: LayerSummary list; Total: Cost }

/// <summary>Counts parameters, operations and bytes.</summary>
/// <remarks>
/// OPs = FLOPs + BOPs/64, as in the ReActNet papers; the published figures are reproduced. Larq counts a binary activation with a real weight as a
/// real operation; here it counts as mixed.
/// </remarks>
[<RequireQualifiedAccess>]
module Summary =

    let private convolution (conv: ConvolutionSpec) (output: Shape) =
        let weights = int64 conv.Out * int64 conv.FanIn
        let macs = weights * int64 (output.H * output.W)
        let gains = if conv.Standardised then int64 conv.Out else 0L
        let zero = Cost.Zero

        let counted =
            match conv.Input, conv.Weight with
            | OneBit, OneBit -> { zero with BinaryMacs = macs }
            | Real, Real -> { zero with RealMacs = macs }
            | _ -> { zero with MixedMacs = macs }

        match conv.Weight with
        | Real ->
            // A real 1×1 convolution belongs to a shortcut and shares the layer's bias.
            let biases = if conv.Kernel = 1 then 0L else int64 conv.Out
            { counted with RealParameters = weights + gains; PackedBytes = 4L * (weights + biases) }
        | OneBit ->
            let words = int64 ((conv.In / conv.Groups + 63) / 64) * int64 (conv.Out * conv.Kernel * conv.Kernel)

            { counted with
                BinaryParameters = weights
                RealParameters = gains
                PackedBytes = 8L * words + 4L * int64 conv.Out }

    let private reals count = { Cost.Zero with RealParameters = count; PackedBytes = 4L * count }

    let private ofOp (op, _, output) =
        match op with
        | Op.Convolve conv -> convolution conv output
        | Op.Shift(_, channels) -> reals (int64 channels)
        | Op.RPReLU prelu -> reals (3L * int64 prelu.Channels)
        | Op.PReLU(_, channels) -> reals (int64 channels)
        // Packing folds the norm into the convolution's scale and bias.
        | Op.Normalise(_, channels) -> { reals (2L * int64 channels) with PackedBytes = 0L }
        | Op.Linear(_, inputs, outputs) ->
            { reals (int64 (inputs + 1) * int64 outputs) with RealMacs = int64 inputs * int64 outputs }
        | Op.Scale _
        | Op.Sign _
        | Op.ReLU
        | Op.HardTanh
        | Op.CustomActivation _
        | Op.MaxPool _
        | Op.AveragePool _
        | Op.CenterChannels
        | Op.PadChannels _
        | Op.GlobalAveragePool
        | Op.Flatten _ -> Cost.Zero

    let private row name input (operations: (Op * Shape * Shape) list) output =
        { Name = name
          Input = input
          Output = output
          Operands =
            operations
            |> List.tryPick (function
                | Op.Convolve conv, _, _ -> Some(conv.Input, conv.Weight)
                | _ -> None)
          Cost = operations |> List.map ofOp |> List.fold (+) Cost.Zero }

    /// <summary>The summary of a valid network for images of height × width.</summary>
    /// <returns>An error if the spec is invalid or cannot process such images.</returns>
    let create height width net : Result<Summary, SpecError list> =
        Validation.fits height width net
        |> Result.map (fun net ->
            let layers, _ =
                ({ C = 3; H = height; W = width }, Lowering.parts net)
                ||> List.mapFold (fun input (name, graph) ->
                    match Shapes.infer graph input with
                    | Ok(operations, output) -> row name input operations output, output
                    | Error message -> invalidOp message)

            { Net = net; Layers = layers; Total = layers |> List.map _.Cost |> List.fold (+) Cost.Zero })
