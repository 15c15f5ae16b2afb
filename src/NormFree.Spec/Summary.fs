namespace NormFree.Spec

/// <summary>What a part of a network, or all of it, costs. MACs are per image; padding counts as if it were computed.</summary>
type Cost =
    {
        /// Weights that are one bit each.
        BinaryParameters: int64
        /// All other trained values.
        RealParameters: int64
        /// Multiply-accumulates of a binary activation with a binary weight.
        BinaryMacs: int64
        /// … of which one operand is binary.
        MixedMacs: int64
        RealMacs: int64
        /// Tensors of the packed file: sign planes in 64-bit words, one float a filter for its scale, 4 bytes a real value; real convolutions have
        /// a bias there. Names and spec add less than 1 %.
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

    /// <summary>The unit of the ReActNet papers: real operations, plus binary ones of which 64 make one.</summary>
    member c.Ops = float (c.RealMacs + c.MixedMacs) + float c.BinaryMacs / 64.0

    /// <summary>Bytes of the parameters with one bit a binary weight and 4 bytes a real value.</summary>
    member c.MemoryBytes = (c.BinaryParameters + 7L) / 8L + 4L * c.RealParameters

/// <summary>One row of a summary.</summary>
type LayerSummary =
    {
        Name: string
        Input: Shape
        Output: Shape
        /// Operands of its main convolution: activation and weight. Nothing for the classifier, which is real.
        Operands: (Precision * Precision) option
        Cost: Cost
    }

/// <summary>A network's layers and their cost for one input size.</summary>
type Summary = { Net: NetSpec; Layers: LayerSummary list; Total: Cost }

/// <summary>Counts parameters, operations and bytes.</summary>
/// <remarks>
/// Operations are counted as the ReActNet papers do (OPs = FLOPs + BOPs/64), which also gives their published figures. Larq counts a binary
/// activation with a real weight as a real operation; here it is a mixed one.
/// </remarks>
[<RequireQualifiedAccess>]
module Summary =

    let private convolution (conv: ConvolutionSpec) (output: Shape) =
        let weights = int64 conv.Out * int64 conv.In * int64 (conv.Kernel * conv.Kernel)
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
            // A 1×1 convolution is a shortcut's, whose bias is the layer's.
            let biases = if conv.Kernel = 1 then 0L else int64 conv.Out
            { counted with RealParameters = weights + gains; PackedBytes = 4L * (weights + biases) }
        | OneBit ->
            let words = int64 ((conv.In + 63) / 64) * int64 (conv.Out * conv.Kernel * conv.Kernel)

            { counted with
                BinaryParameters = weights
                RealParameters = gains
                PackedBytes = 8L * words + 4L * int64 conv.Out }

    let private reals count = { Cost.Zero with RealParameters = count; PackedBytes = 4L * count }

    let private ofOp (op, _, output) =
        match op with
        | Convolve conv -> convolution conv output
        | Shift(_, channels) -> reals (int64 channels)
        | RPReLU prelu -> reals (3L * int64 prelu.Channels)
        // Folded into the convolution's scale, and into the bias that it has in any case.
        | Normalise(_, channels) -> { reals (2L * int64 channels) with PackedBytes = 0L }
        | Linear(_, inputs, outputs) ->
            { reals (int64 (inputs + 1) * int64 outputs) with RealMacs = int64 inputs * int64 outputs }
        | Scale _
        | Sign
        | ReLU
        | MaxPool _
        | AveragePool _
        | CenterChannels
        | GlobalAveragePool -> Cost.Zero

    let private row name input (operations: (Op * Shape * Shape) list) output =
        { Name = name
          Input = input
          Output = output
          Operands =
            operations
            |> List.tryPick (function
                | Convolve conv, _, _ -> Some(conv.Input, conv.Weight)
                | _ -> None)
          Cost = operations |> List.map ofOp |> List.fold (+) Cost.Zero }

    /// <summary>The summary of a valid network for images of height × width.</summary>
    /// <returns>What is wrong with the spec, or why it cannot take such images.</returns>
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
