namespace NormFree.Networks

open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Kernels.Activations
open TorchSharp

/// <summary>The fused engine: runs binary layers with NormFree's own kernels and the rest with torch operations, channels-last.</summary>
/// <remarks>For float32 tensors on the CPU. It differs from the composite engine in the order of sums and in sign(0), which is +1 here.</remarks>
[<Sealed>]
type internal FusedEngine
    (precision: NormFree.Runs.Precision, progress: unit -> float, tensors: IReadOnlyDictionary<string, torch.Tensor>) =

    let fusedPrecision =
        match precision with
        | NormFree.Runs.Precision.Float32 -> FusedPrecision.Float32
        | NormFree.Runs.Precision.BFloat16 -> FusedPrecision.BFloat16

    let constants = Dictionary<float * int64[], torch.Tensor>(HashIdentity.Structural)

    /// A constant tensor, for layers without the parameter that a kernel takes.
    let constant (value: float) (shape: int64[]) =
        lock constants (fun () ->
            match constants.TryGetValue((value, shape)) with
            | true, tensor -> tensor
            | _ ->
                let tensor = torch.zeros(shape).PlusInPlace(value).DetachFromDisposeScope()
                constants.Add((value, shape), tensor)
                tensor)

    let zeros channels = constant 0.0 [| 1L; int64 channels; 1L; 1L |]

    let estimator sign =
        match sign with
        | SignGradient.ApproxSign -> SignEstimator.ApproxSign
        | SignGradient.StraightThrough bound -> SignEstimator.StraightThrough(float32 bound)
        | SignGradient.SigmoidDerivative k -> SignEstimator.Sigmoid(float32 k)
        | SignGradient.SwishSign beta -> SignEstimator.Swish(float32 beta)
        | SignGradient.AnnealedTanh(first, last) ->
            SignEstimator.Tanh(float32 (Signs.annealed first last (progress ())))
        | SignGradient.Custom name -> invalidOp $"no kernel has the gradient '{name}'"

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
            fusedPrecision,
            estimator layer.Sign
        )

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
        | { Weight = OneBit; Kernel = 1; Stride = 1; Padding = 0; Groups = 1; ScaledSigns = true } ->
            binaryFilters conv x
        | { Weight = Real } when fusedPrecision = FusedPrecision.BFloat16 ->
            let options = Convolutions.options conv
            Convolution.ApplyInBFloat16(x, tensors[$"{conv.Key}.weight"], Convolutions.gain tensors conv, &options)
        | _ -> Convolutions.plain tensors conv x

    /// For everything but binary layers.
    let composite = CompositeEngine(convolve, progress, (fun _ _ _ _ -> None), tensors)

    let shift (convolution: SignConvolution) =
        match convolution.Shift with
        | Some key -> tensors[key]
        | None -> zeros convolution.In

    let parameters (layer: SignConvolution) (convolutions: ConvolutionSpec list) (activation: torch.Tensor[]) =
        let ofEach suffix = [| for conv in convolutions -> tensors[conv.Key + suffix] |]
        let gains = if convolutions.Head.Standardised then ofEach ".gain" else [||]
        BinaryLayerParameters(shift layer, ofEach ".weight", gains, activation)

    /// The activation as an RPReLU, and what is left of it. The identity is an RPReLU with slope 1, ReLU one with slope 0.
    let activation channels (op: Op option) =
        let slopes value = [| zeros channels; constant value [| int64 channels |]; zeros channels |]

        match op with
        | Some(Op.RPReLU names) ->
            [| tensors[names.ShiftIn]; SlopeTensors.values tensors names.Slopes; tensors[names.ShiftOut] |], None
        | Some(Op.PReLU(slopes, _)) -> [| zeros channels; SlopeTensors.values tensors slopes; zeros channels |], None
        | Some Op.ReLU -> slopes 0.0, None
        | other -> slopes 1.0, other

    let shortcut mode (layer: BinaryLayer) (x: torch.Tensor) =
        match layer.Shortcut with
        | Pooled pooled ->
            let rest = Graph.ofProjection pooled.Projection
            use small = FusedPooledShortcut.Apply(layer.Name, x, pooled.Beta, pooled.Kernel)

            match rest with
            | Chain [] -> small.alias ()
            | _ -> composite.Run(mode, rest, small)
        | _ -> composite.Run(mode, Graph.ofShortcut layer.Shortcut, x)

    let after mode op (x: torch.Tensor) =
        match op with
        | None -> x
        | Some op -> composite.Run(mode, Op op, x)

    let oneKernel mode (layer: BinaryLayer) (x: torch.Tensor) =
        let convolutions = layer.Convolution.Convolutions |> List.map fst
        let activation, rest = activation layer.Convolution.Out layer.Activation

        let given: torch.Tensor | null =
            match layer.Shortcut with
            | RepeatedInput _ -> null
            | _ -> shortcut mode layer x

        FusedBinaryLayer.Apply(
            options layer.Name layer.Convolution convolutions,
            x,
            given,
            parameters layer.Convolution convolutions activation
        )
        |> after mode rest

    /// α·N(w ∗ sign(β·x + b)). A norm is between each convolution and the sum, so they cannot be fused.
    let convolution mode (layer: BinaryLayer) (x: torch.Tensor) =
        let run convolutions =
            FusedBinaryConvolution.Apply(
                options layer.Name layer.Convolution convolutions,
                x,
                parameters layer.Convolution convolutions [||]
            )

        match layer.Convolution.Convolutions with
        | convolutions when convolutions |> List.forall (snd >> Option.isNone) -> run (List.map fst convolutions)
        | convolutions ->
            let branches =
                [| for conv, norm in convolutions -> composite.Run(mode, Chain(Graph.norm norm conv.Out), run [ conv ]) |]

            if branches.Length = 1 then branches[0] else torch.cat (branches, 1L)

    let convolutionKernel mode (layer: BinaryLayer) (x: torch.Tensor) (input: torch.Tensor) =
        let branch = convolution mode layer input

        match layer.Shortcut, layer.Activation with
        | NoShortcut, op -> after mode op branch
        | Concatenated, op -> torch.cat ([| x; branch |], 1L) |> after mode op
        | _, Some(Op.RPReLU _) ->
            let parameters, _ = activation layer.Convolution.Out layer.Activation
            ResidualRPReLU.Apply(layer.Name, branch, shortcut mode layer x, parameters)
        | _, op -> branch.Plus(shortcut mode layer x) |> after mode op

    /// Frees temporary tensors. Hooks run outside, because they may keep tensors of their own.
    let scoped run =
        use _ = torch.NewDisposeScope()
        let result: torch.Tensor = run ()
        Some(result.MoveToOuterDisposeScope())

    let afterNorm mode (hook: ForwardHook) (layer: BinaryLayer) (x: torch.Tensor) =
        match layer.Convolution.NormBefore with
        | None ->
            hook.Layer layer.Name x
            scoped (fun () -> convolutionKernel mode layer x x)
        | Some key ->
            use normal = composite.Run(mode, Op(Op.Normalise(key, layer.Convolution.In)), x)
            hook.Layer layer.Name normal
            scoped (fun () -> convolutionKernel mode layer x normal)

    /// The layer's output if a kernel can run it.
    let kernel mode (hook: ForwardHook) (layer: BinaryLayer) (x: torch.Tensor) =
        match LayerExecution.ofLayer layer with
        | TorchOperations _ -> None
        | OneKernel ->
            hook.Input layer.Name x
            hook.Layer layer.Name x
            scoped (fun () -> oneKernel mode layer x)
        | ConvolutionKernel ->
            hook.Input layer.Name x
            afterNorm mode hook layer x

    let engine = CompositeEngine(convolve, progress, kernel, tensors)

    /// <summary>Logits (N×classes) of images (N×3×H×W).</summary>
    member _.Run(mode: Mode, parts: (string * Graph) list, hook: ForwardHook, images: torch.Tensor) : torch.Tensor =
        use input = ChannelsLast.Of images
        engine.Run(mode, parts, hook, input)
