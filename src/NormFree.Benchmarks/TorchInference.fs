namespace NormFree.Benchmarks

open System
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

    let convolution (weights: torch.Tensor) (bias: float32[] | null) stride padding =
        let weights = ordered weights

        let bias: torch.Tensor | null =
            match bias with
            | null -> null
            | bias -> own (torch.tensor bias)

        let strides, padding = [| int64 stride; int64 stride |], [| int64 padding; int64 padding |]
        fun (x: torch.Tensor) -> torch.nn.functional.conv2d (x, weights, bias, strides, padding)

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

    /// Adds the shortcut of x to z.
    let shortcut (layer: PackedBinaryLayer) : torch.Tensor -> torch.Tensor -> unit =
        match layer.Shortcut with
        | :? AveragePoolShortcut as pooled ->
            let kernel = int64 pooled.Kernel
            let factor = pooled.Factor * float32 (kernel * kernel)

            match pooled.Projection with
            | null ->
                fun x z ->
                    use mean = torch.nn.functional.avg_pool2d (x, kernel, kernel)
                    z.PlusInPlace(mean, float factor) |> ignore
            | projection ->
                let filters =
                    [| for o in 0 .. layer.Out - 1 do
                           for weight in ShiftFolding.projectionFilter layer.In projection o -> factor * float32 weight |]

                let project = convolution (shaped [ layer.Out; layer.In; 1; 1 ] filters) null 1 0

                fun x z ->
                    use mean = torch.nn.functional.avg_pool2d (x, kernel, kernel)
                    use projected = project mean
                    z.PlusInPlace projected |> ignore
        | _ ->
            fun x z ->
                for start in 0 .. layer.In .. layer.Out - 1 do
                    use part = z.narrow (1L, int64 start, int64 layer.In)
                    part.PlusInPlace x |> ignore

    let binary (layer: PackedBinaryLayer) =
        let beforeSign = layer.Threshold |> Array.map (~-) |> channels
        let weights = unpacked layer.In layer.Out layer.Kernel layer.Signs (fun o -> layer.Scale[o])
        let convolve = convolution weights layer.Bias layer.Stride layer.Padding
        let addShortcut, slope = shortcut layer, own (torch.tensor layer.Slope)

        fun (x: torch.Tensor) ->
            use shifted = x.Plus beforeSign
            use signs = shifted.sign_ ()
            use z = convolve signs
            addShortcut x z
            torch.nn.functional.prelu (z, slope)

    let classifier (layer: PackedClassifier) =
        let weights = own (shaped [ layer.Classes; layer.In ] layer.Weights)
        let bias = own (torch.tensor layer.Bias)

        fun (x: torch.Tensor) ->
            use mean = x.mean [| 2L; 3L |]
            torch.nn.functional.linear (mean, weights, bias)

    let step (layer: PackedLayer) : torch.Tensor -> torch.Tensor =
        match layer with
        | :? PackedConvolution as layer ->
            let weights = shaped [ layer.Out; layer.In; layer.Kernel; layer.Kernel ] layer.Weights
            convolution weights layer.Bias layer.Stride layer.Padding
        | :? PackedMaxPool as layer ->
            fun x -> torch.nn.functional.max_pool2d (x, int64 layer.Kernel, int64 layer.Stride, int64 layer.Padding)
        | :? PackedBinaryLayer as layer -> binary layer
        | :? PackedClassifier as layer -> classifier layer
        | other -> invalidArg (nameof model) $"There is no layer of kind {other.GetType().Name}."

    let input, steps =
        use _ = torch.NewDisposeScope()
        let input = images |> shaped [ -1; model.Mean.Count; model.Height; model.Width ] |> ordered
        input, ShiftFolding.layers model |> List.map step

    /// Frees each feature map as soon as the next one is computed.
    let follow (x: torch.Tensor) step =
        let y = step x

        if not (Object.ReferenceEquals(x, input)) then
            x.Dispose()

        y

    interface IInference with
        member _.Layout = Some layout.Name

        member _.Run() =
            use _ = torch.inference_mode ()
            use result = List.fold follow input steps
            logits <- result.data<float32>().ToArray()

        member _.Logits = logits

        member _.Dispose() =
            for tensor in owned do
                tensor.Dispose()
