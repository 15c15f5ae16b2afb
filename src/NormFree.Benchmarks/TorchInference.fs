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

/// <summary>How torch lays out maps.</summary>
[<RequireQualifiedAccess>]
type internal TorchLayout =
    | Contiguous
    | ChannelsLast

    /// <summary>torch's name of it.</summary>
    member l.Name =
        match l with
        | Contiguous -> "contiguous"
        | ChannelsLast -> "channels-last"

/// <summary>A network in libtorch, float32, as fast as it goes: a rival of the packed engine.</summary>
/// <remarks>
/// <para>Weights are standardised, binarised and scaled once, and all other constants are where they cost nothing: a binary layer is a sum, a sign, a
/// convolution with bias, the sum with the shortcut, and a PReLU; sums and signs are in place.</para>
/// <para>TorchScript gains nothing: binary layers of 64 to 512 channels, batches of 1 and 16, took 0.90 to 1.16 of the time (median 1.01) when they
/// were compiled from source by torch.jit.compile, and 0.94 to 1.36 (median 1.11) when their filters were in oneDNN's own order besides
/// (mkldnn_reorder_conv2d_weight, mkldnn_convolution). Freezing is for modules, of which TorchSharp compiles none.</para>
/// </remarks>
[<Sealed>]
type internal TorchInference(model: PackedModel, layout: TorchLayout, images: float32[]) =

    let owned = ResizeArray<torch.Tensor>()
    let mutable logits: float32[] = [||]

    let own (tensor: torch.Tensor) =
        owned.Add(tensor.DetachFromDisposeScope())
        tensor

    /// Maps and filters, in the order of memory that the layout asks for.
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

    /// Out×In×Kernel×Kernel weights: each bit is a sign of its filter's scale.
    let unpacked inputs outputs kernel (signs: uint64[]) (scale: int -> float32) =
        let taps = kernel * kernel

        let weight place =
            let o, c, tap = place / (inputs * taps), place / taps % inputs, place % taps

            if SignPacking.IsPlus(signs, o * taps + tap, inputs, c) then
                scale o
            else
                -(scale o)

        Array.init (outputs * inputs * taps) weight |> shaped [ outputs; inputs; kernel; kernel ]

    /// Adds what a shortcut makes of x to z.
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
                let project =
                    convolution
                        (unpacked layer.In layer.Out 1 projection.Signs (fun o -> factor * projection.Scale[o]))
                        null
                        1
                        0

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

    /// A map is freed as soon as the next one is there.
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
