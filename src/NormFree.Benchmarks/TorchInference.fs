namespace NormFree.Benchmarks

open System
open System.Collections.Generic
open NormFree.Inference.Model
open NormFree.Kernels.Bits
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Torch
open NormFree.Training
open TorchSharp

/// <summary>torch's memory layouts.</summary>
[<RequireQualifiedAccess>]
type internal TorchLayout =
    | Contiguous
    | ChannelsLast

    /// <summary>The name in results.</summary>
    member l.Name =
        match l with
        | Contiguous -> "contiguous"
        | ChannelsLast -> "channels-last"

/// <summary>The fastest float32 implementation in libtorch: a competitor of the packed engine.</summary>
/// <remarks>
/// <para>Weights are standardised, binarised and scaled once, and all other constants are folded: a binary layer is an addition, a sign, a
/// convolution with bias, the addition of the shortcut, and a PReLU. Additions and signs are in place.</para>
/// <para>TorchScript does not help: binary layers of 64 to 512 channels, in batches of 1 and 16, took 0.90 to 1.16 times as long (median 1.01)
/// when compiled by torch.jit.compile, and 0.94 to 1.36 times (median 1.11) with filters in oneDNN's own order (mkldnn_reorder_conv2d_weight,
/// mkldnn_convolution). Freezing needs modules, which TorchSharp cannot compile.</para>
/// </remarks>
[<Sealed>]
type internal TorchInference(model: PackedModel, layout: TorchLayout, images: float32[]) =

    let owned = ResizeArray<torch.Tensor>()
    let mutable logits: float32[] = [||]

    let own (tensor: torch.Tensor) =
        owned.Add(tensor.DetachFromDisposeScope())
        tensor

    /// The tensor in this layout.
    let ordered (tensor: torch.Tensor) =
        match layout with
        | TorchLayout.Contiguous -> own tensor
        | TorchLayout.ChannelsLast -> own (Fused.ChannelsLast.Of tensor)

    let shaped (shape: int list) (values: float32[]) =
        torch.tensor(values).reshape [| for side in shape -> int64 side |]

    let channels (values: float32[]) = own (torch.tensor(values).reshape(1L, -1L, 1L, 1L))

    let convolution (weights: torch.Tensor) (bias: float32[] | null) stride padding (groups: int) =
        let weights = ordered weights

        let bias: torch.Tensor | null =
            match bias with
            | null -> null
            | bias -> own (torch.tensor bias)

        let strides, padding = [| int64 stride; int64 stride |], [| int64 padding; int64 padding |]
        fun (x: torch.Tensor) -> torch.nn.functional.conv2d (x, weights, bias, strides, padding, groups = int64 groups)

    /// Out×In×Kernel×Kernel weights: each bit is the sign of its filter's scale.
    let unpacked inputs outputs kernel (signs: uint64[]) (scale: int -> float32) =
        let taps = kernel * kernel

        let weight place =
            let o, c, tap = place / (inputs * taps), place / taps % inputs, place % taps

            if SignPacking.IsPlus(signs, o * taps + tap, inputs, c) then
                scale o
            else
                -(scale o)

        Array.init (outputs * inputs * taps) weight |> shaped [ outputs; inputs; kernel; kernel ]

    /// Adds a pooled shortcut of x to z.
    let pooled inputs outputs (shortcut: AveragePoolShortcut) : torch.Tensor -> torch.Tensor -> unit =
        let kernel = int64 shortcut.Kernel
        let factor = shortcut.Factor * float32 (kernel * kernel)

        match shortcut.Projection with
        | null ->
            fun x z ->
                use mean = torch.nn.functional.avg_pool2d (x, kernel, kernel)
                z.PlusInPlace(mean, float factor) |> ignore
        | projection ->
            let filters =
                [| for o in 0 .. outputs - 1 do
                       for weight in ShiftFolding.projectionFilter inputs projection o -> factor * float32 weight |]

            let project = convolution (shaped [ outputs; inputs; 1; 1 ] filters) null 1 0 1

            fun x z ->
                use mean = torch.nn.functional.avg_pool2d (x, kernel, kernel)
                use projected = project mean
                z.PlusInPlace projected |> ignore

    /// Adds x to z, repeated over the channels.
    let repeated (x: torch.Tensor) (z: torch.Tensor) =
        for start in 0L .. x.size 1 .. z.size 1 - 1L do
            use part = z.narrow (1L, start, x.size 1)
            part.PlusInPlace x |> ignore

    /// Adds the shortcut of x to z.
    let shortcut (layer: PackedBinaryLayer) : torch.Tensor -> torch.Tensor -> unit =
        match layer.Shortcut with
        | :? AveragePoolShortcut as shortcut -> pooled layer.In layer.Out shortcut
        | :? IdentityShortcut -> repeated
        | _ -> fun _ _ -> ()

    let binary (layer: PackedBinaryLayer) =
        let beforeSign = layer.Threshold |> Array.map (~-) |> channels
        let weights = unpacked layer.In layer.Out layer.Kernel layer.Signs (fun o -> layer.Scale[o])
        let convolve = convolution weights layer.Bias layer.Stride layer.Padding 1
        let addShortcut, slope = shortcut layer, own (torch.tensor layer.Slope)
        let isShifted, shift = Array.exists ((<>) 0.0f) layer.Shift, channels layer.Shift

        fun (x: torch.Tensor) ->
            use shifted = x.Plus beforeSign
            use signs = shifted.sign_ ()
            use z = convolve signs
            addShortcut x z
            let y = torch.nn.functional.prelu (z, slope)

            if isShifted then
                y.PlusInPlace shift |> ignore

            if layer.Shortcut :? ConcatenatedShortcut then
                use y = y
                torch.cat ([| x; y |], 1L)
            else
                y

    let affine (layer: PackedAffine) =
        let scale, bias, slope = channels layer.Scale, channels layer.Bias, own (torch.tensor layer.Slope)

        fun (x: torch.Tensor) ->
            use scaled = x * scale
            use moved = scaled.PlusInPlace bias
            use bent = torch.nn.functional.prelu (moved, slope)
            bent.Between(float layer.Low, float layer.High)

    /// Packed networks flatten maps in the order height, width, channel.
    let flatten (x: torch.Tensor) =
        use last = x.permute (0L, 2L, 3L, 1L)
        last.reshape (x.size 0, -1L, 1L, 1L)

    /// The inputs of layers that later additions read.
    let kept = Dictionary<string, torch.Tensor>()

    let add (layer: PackedAdd) inputs outputs =
        let adds: torch.Tensor -> torch.Tensor -> unit =
            match layer.Pooled with
            | null -> repeated
            | shortcut -> pooled inputs outputs shortcut

        fun (x: torch.Tensor) ->
            let sum = x.clone ()
            adds kept[layer.From] sum
            sum

    let classifier (layer: PackedClassifier) =
        let weights = own (shaped [ layer.Classes; layer.In ] layer.Weights)
        let bias = own (torch.tensor layer.Bias)

        fun (x: torch.Tensor) ->
            use mean = x.mean [| 2L; 3L |]
            torch.nn.functional.linear (mean, weights, bias)

    /// The channels of each layer's input.
    let inputs =
        let start = MapSize(model.Height, model.Width, model.Mean.Count)
        let sizes = model.Layers |> Seq.scan (fun (size: MapSize) layer -> size.After layer) start
        dict [ for layer, size in Seq.zip model.Layers sizes -> layer.Key, size.Channels ]

    let step (layer: PackedLayer) : torch.Tensor -> torch.Tensor =
        match layer with
        | :? PackedConvolution as layer ->
            let weights = shaped [ layer.Out; layer.In / layer.Groups; layer.Kernel; layer.Kernel ] layer.Weights
            convolution weights layer.Bias layer.Stride layer.Padding layer.Groups
        | :? PackedAffine as layer -> affine layer
        | :? PackedAveragePool as layer ->
            fun x -> torch.nn.functional.avg_pool2d (x, int64 layer.Kernel, int64 layer.Kernel)
        | :? PackedFlatten -> flatten
        | :? PackedAdd as layer -> add layer inputs[layer.From] inputs[layer.Key]
        | :? PackedMaxPool as layer ->
            fun x -> torch.nn.functional.max_pool2d (x, int64 layer.Kernel, int64 layer.Stride, int64 layer.Padding)
        | :? PackedBinaryLayer as layer -> binary layer
        | :? PackedClassifier as layer -> classifier layer
        | other -> invalidArg (nameof model) $"There is no layer of kind {other.GetType().Name}."

    let input, steps =
        use _ = torch.NewDisposeScope()
        let input = images |> shaped [ -1; model.Mean.Count; model.Height; model.Width ] |> ordered
        input, [ for layer in ShiftFolding.layers model -> layer.Key, step layer ]

    let isRead =
        let sources =
            set
                [ for layer in model.Layers do
                      match layer with
                      | :? PackedAdd as sum -> sum.From
                      | _ -> () ]

        fun key -> sources.Contains key

    /// Frees each feature map as soon as the next one is computed, unless an addition reads it later.
    let follow (x: torch.Tensor) (key, step) =
        let y = step x

        if isRead key then
            kept[key] <- x
        elif not (Object.ReferenceEquals(x, input)) then
            x.Dispose()

        y

    let free () =
        for x in kept.Values do
            if not (Object.ReferenceEquals(x, input)) then
                x.Dispose()

        kept.Clear()

    interface IInference with
        member _.Layout = Some layout.Name

        member _.Run() =
            use _ = torch.inference_mode ()
            use result = List.fold follow input steps
            logits <- result.data<float32>().ToArray()
            free ()

        member _.Logits = logits

        member _.Dispose() =
            for tensor in owned do
                tensor.Dispose()
