namespace NormFree.Networks

open NormFree.Spec

/// <summary>How the fused engine runs a binary layer.</summary>
type LayerExecution =
    /// Convolution, shortcut and activation in one kernel.
    | OneKernel
    /// The convolution in one kernel, the norm, the shortcut and the activation after it.
    | ConvolutionKernel
    /// By torch operations, for this reason.
    | TorchOperations of reason: string

/// <summary>Decides how the fused engine runs binary layers.</summary>
[<RequireQualifiedAccess>]
module LayerExecution =

    /// Why no kernel can run the convolution, if none can.
    let private obstacle (convolution: SignConvolution) =
        let conv = fst convolution.Convolutions.Head

        match convolution.Sign with
        | SignGradient.Custom name -> Some $"the sign gradient '{name}' is custom"
        | _ when conv.Groups > 1 -> Some "its convolution has groups"
        | _ when conv.Dilation > 1 -> Some "its convolution is dilated"
        | _ when conv.Weight = OneBit && not conv.ScaledSigns -> Some "its filters are plain signs"
        | _ -> None

    let private hasNorm (convolution: SignConvolution) =
        convolution.NormBefore.IsSome || List.exists (snd >> Option.isSome) convolution.Convolutions

    /// <summary>How the fused engine runs a layer.</summary>
    let ofLayer (layer: BinaryLayer) =
        match obstacle layer.Convolution, layer.Shortcut with
        | Some reason, _ -> TorchOperations reason
        | None, (RepeatedInput _ | Pooled _ | Computed _) when not (hasNorm layer.Convolution) -> OneKernel
        | None, _ -> ConvolutionKernel

    /// <summary>The execution in words.</summary>
    let describe execution =
        match execution with
        | OneKernel -> "one kernel"
        | ConvolutionKernel -> "convolution kernel"
        | TorchOperations reason -> $"torch operations: {reason}"
