namespace NormFree.Networks

open System
open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Torch.Profiling
open TorchSharp

/// <summary>The fused engine: runs binary layers with NormFree's own kernels and the rest with the composite engine, channels-last.</summary>
/// <remarks>For float32 tensors on the CPU. It differs from the composite engine in the order of sums and in sign(0), which is +1 here.</remarks>
[<Sealed>]
type internal FusedEngine(precision: NormFree.Runs.Precision, tensors: IReadOnlyDictionary<string, torch.Tensor>) =

    let fusedPrecision =
        match precision with
        | NormFree.Runs.Precision.Float32 -> FusedPrecision.Float32
        | NormFree.Runs.Precision.BFloat16 -> FusedPrecision.BFloat16

    let binaryFilters (conv: ConvolutionSpec) x =
        let options =
            BinaryConvolutionOptions(
                conv.Key,
                conv.In,
                [| conv.Out |],
                conv.Kernel,
                conv.Stride,
                conv.Padding,
                1.0f,
                conv.Standardised,
                true,
                float32 conv.Factor,
                fusedPrecision
            )

        BinaryFilterConvolution.Apply(options, x, tensors[$"{conv.Key}.weight"], Convolutions.gain tensors conv)

    let convolve (conv: ConvolutionSpec) x =
        match conv with
        | { Weight = OneBit; Kernel = 1; Stride = 1; Padding = 0 } -> binaryFilters conv x
        | { Weight = Real } when fusedPrecision = FusedPrecision.BFloat16 ->
            let options = Convolutions.options conv
            Convolution.ApplyInBFloat16(x, tensors[$"{conv.Key}.weight"], Convolutions.gain tensors conv, &options)
        | _ -> Convolutions.plain tensors conv x

    let composite = CompositeEngine(convolve, tensors)

    let options name (layer: SignConvolution) (convolutions: ConvolutionSpec list) =
        let first = convolutions.Head

        BinaryConvolutionOptions(
            name,
            first.In,
            [| for conv in convolutions -> conv.Out |],
            first.Kernel,
            first.Stride,
            first.Padding,
            float32 layer.Beta,
            first.Standardised,
            (first.Weight = OneBit),
            float32 (first.Factor * layer.Alpha),
            fusedPrecision
        )

    let parameters (layer: SignConvolution) (convolutions: ConvolutionSpec list) (activation: torch.Tensor[]) =
        let ofEach suffix = [| for conv in convolutions -> tensors[conv.Key + suffix] |]
        let gains = if convolutions.Head.Standardised then ofEach ".gain" else [||]
        BinaryLayerParameters(tensors[layer.Shift], ofEach ".weight", gains, activation)

    let activation (names: RPReLU) = [| tensors[names.ShiftIn]; tensors[names.Slope]; tensors[names.ShiftOut] |]

    let shortcut name mode graph (x: torch.Tensor) =
        let pooled beta kernel rest =
            use small = FusedPooledShortcut.Apply(name, x, beta, kernel)
            // There is nothing after the pooling.
            if List.isEmpty rest then
                small.alias ()
            else
                composite.Run(mode, Chain rest, small)

        match graph with
        | Chain(Op(Scale beta) :: Op(AveragePool kernel) :: rest) -> pooled beta kernel rest
        | Chain(Op(AveragePool kernel) :: rest) -> pooled 1.0 kernel rest
        | other -> composite.Run(mode, other, x)

    let withoutNorm name mode (layer: FusedLayer) (x: torch.Tensor) =
        let convolutions = layer.Convolution.Convolutions |> List.map fst

        let given: torch.Tensor | null =
            match layer.Shortcut with
            | RepeatedInput -> null
            | Computed graph -> shortcut name mode graph x

        FusedBinaryLayer.Apply(
            options name layer.Convolution convolutions,
            x,
            given,
            parameters layer.Convolution convolutions (activation layer.Activation)
        )

    /// The norm stands between convolution and sum, so they cannot be fused.
    let withNorms name mode (layer: FusedLayer) (x: torch.Tensor) =
        let branch (conv, norm) =
            let values =
                BinaryConvolution.Apply(
                    options name layer.Convolution [ conv ],
                    x,
                    parameters layer.Convolution [ conv ] [||]
                )

            match norm with
            | Some key -> composite.Run(mode, Op(Normalise(key, conv.Out)), values)
            | None -> values

        let branches = [| for conv in layer.Convolution.Convolutions -> branch conv |]
        let joined = if branches.Length = 1 then branches[0] else torch.cat (branches, 1L)

        let shortcut =
            match layer.Shortcut with
            | RepeatedInput -> x
            | Computed graph -> shortcut name mode graph x

        let repeats = joined.size 1 / shortcut.size 1

        let repeated =
            if repeats = 1L then
                shortcut
            else
                torch.cat (Array.replicate (int repeats) shortcut, 1L)

        ResidualRPReLU.Apply(name, joined, repeated, activation layer.Activation)

    let run name mode part (x: torch.Tensor) =
        use scope = torch.NewDisposeScope()

        let result =
            match part with
            | Plain graph -> composite.Run(mode, graph, x)
            | Layer layer when layer.Convolution.Convolutions |> List.exists (snd >> Option.isSome) ->
                withNorms name mode layer x
            | Layer layer -> withoutNorm name mode layer x

        if Object.ReferenceEquals(result, x) then
            x
        else
            result.MoveToOuterDisposeScope()

    /// Frees intermediate results as soon as they are used.
    let runInTurn (runOne: 'part -> torch.Tensor -> torch.Tensor) parts (x: torch.Tensor) =
        (x, parts)
        ||> List.fold (fun current part ->
            let result = runOne part current

            if not (Object.ReferenceEquals(result, current) || Object.ReferenceEquals(current, x)) then
                current.Dispose()

            result)

    let runNamed mode (look: ForwardHook) (name, parts) x =
        use _ = LayerClock.Measure(name, Phase.Forward)
        let result = runInTurn (run name mode) parts x
        look name x result
        result

    /// <summary>Logits (N×classes) of images (N×3×H×W).</summary>
    member _.Run
        (mode: Mode, parts: (string * FusedPart list) list, look: ForwardHook, images: torch.Tensor)
        : torch.Tensor =
        use input = ChannelsLast.Of images
        runInTurn (runNamed mode look) parts input
