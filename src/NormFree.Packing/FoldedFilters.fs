namespace NormFree.Packing

open System
open System.Collections.Generic
open NormFree.Kernels.Bits
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open TorchSharp

/// The filters of a binary convolution: one bit per weight and one scale per filter.
type internal FoldedFilters =
    {
        /// Out × taps × ⌈In/64⌉ words.
        Signs: uint64[]
        /// factor·gain·mean|v|, without α and norm.
        Scale: float[]
        Zeros: int64
    }

module internal FoldedFilters =

    /// A tensor's values as float64, from any element type.
    let doubles (tensor: torch.Tensor) : float[] =
        use _ = torch.NewDisposeScope()
        tensor.detach().cpu().``to``(torch.ScalarType.Float64).reshape(-1L).contiguous().data<float>().ToArray()

    /// The slopes of a PReLU.
    let slopes tensors (slopes: Slopes) =
        use _ = torch.NewDisposeScope()
        doubles (SlopeTensors.values tensors slopes)

    /// Packs rows of bytes that are 0 or 1 into words: channel c is bit c mod 64 of the row's word c/64.
    let private bits (bytes: byte[]) channels =
        let perRow = SignPacking.Words channels
        let packed = Array.zeroCreate (bytes.Length / channels * perRow)

        for i in 0 .. bytes.Length - 1 do
            let row, channel = Math.DivRem(i, channels)
            let place = row * perRow + channel / 64
            packed[place] <- packed[place] ||| (uint64 bytes[i] <<< (channel % 64))

        packed

    /// <summary>The values before the sign of a binary convolution's weights, in the tensors' own type; standardised if the spec says so.</summary>
    let beforeSign (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) =
        let weight = tensors[$"{conv.Key}.weight"].detach()

        if conv.Standardised then WeightStandardisation.Apply weight else weight

    let private filters (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) =
        use _ = torch.NewDisposeScope()
        let values = (beforeSign tensors conv).cpu()
        let positive = values.IsAtLeast(0.0).permute(0L, 2L, 3L, 1L).contiguous()

        let magnitude =
            if conv.ScaledSigns then
                doubles (values.``to``(torch.ScalarType.Float64).abs().mean [| 1L; 2L; 3L |])
            else
                Array.create conv.Out 1.0

        let gain =
            if conv.Standardised then
                doubles tensors[$"{conv.Key}.gain"]
            else
                Array.create conv.Out 1.0

        { Signs = bits (positive.bytes.ToArray()) conv.In
          Scale = Array.map2 (fun mean gain -> conv.Factor * gain * mean) magnitude gain
          Zeros = values.IsEqualTo(0.0).sum().item<int64>() }

    /// The filters' scales at weights that are exactly 0 before the sign, and 0 elsewhere; None if there are no such weights.
    let scaledZeros (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) =
        use scope = torch.NewDisposeScope()
        let values = beforeSign tensors conv
        let zeros = values.IsEqualTo(0.0).``to`` values.dtype

        if zeros.sum().``to``(torch.ScalarType.Float64).item<float>() = 0.0 then
            None
        else
            let scaled =
                if conv.ScaledSigns then
                    values.abs().mean([| 1L; 2L; 3L |], keepdim = true) * zeros
                else
                    zeros

            let gained = if conv.Standardised then tensors[$"{conv.Key}.gain"] * scaled else scaled
            Some((gained.Times conv.Factor).MoveToOuterDisposeScope())

    /// A norm's factor and offset for each filter.
    let norm (tensors: IReadOnlyDictionary<string, torch.Tensor>) count key =
        match key with
        | None -> Array.create count 1.0, Array.zeroCreate count
        | Some key ->
            let ofEach suffix = doubles tensors[$"{key}.{suffix}"]

            let factor =
                Array.map2
                    (fun gamma var -> gamma / sqrt (var + Graph.normEpsilon))
                    (ofEach "weight")
                    (ofEach "running_var")

            factor,
            Array.map3 (fun bias mean factor -> bias - mean * factor) (ofEach "bias") (ofEach "running_mean") factor

    /// The weights of a real convolution including the norm's factor, and the norm's offset.
    let real (tensors: IReadOnlyDictionary<string, torch.Tensor>) (conv: ConvolutionSpec) normKey =
        use _ = torch.NewDisposeScope()
        let double (tensor: torch.Tensor) = tensor.detach().``to`` torch.ScalarType.Float64
        let gain: torch.Tensor | null = if conv.Standardised then double tensors[$"{conv.Key}.gain"] else null
        let options = Convolutions.options conv
        let used = doubles (Convolution.EffectiveWeight(double tensors[$"{conv.Key}.weight"], gain, &options))
        let factor, offset = norm tensors conv.Out normKey
        used |> Array.mapi (fun i weight -> weight * factor[i / (used.Length / conv.Out)]), offset

    /// Concatenates convolutions with their norms: signs, scales including the norm's factor, and the norm's offset.
    let folded tensors (convolutions: (ConvolutionSpec * string option) list) =
        let found =
            [ for conv, key in convolutions do
                  let filters = filters tensors conv
                  let factor, offset = norm tensors conv.Out key
                  { filters with Scale = Array.map2 (*) filters.Scale factor }, offset ]

        { Signs = found |> List.map (fun (filters, _) -> filters.Signs) |> Array.concat
          Scale = found |> List.map (fun (filters, _) -> filters.Scale) |> Array.concat
          Zeros = found |> List.sumBy (fun (filters, _) -> filters.Zeros) },
        found |> List.map snd |> Array.concat

    /// The filters' signs with the bits of some input channels inverted.
    let flipped (channels: bool[]) (signs: uint64[]) =
        if Array.contains true channels then
            let words = SignPacking.Words channels.Length

            let mask =
                Array.init words (fun word ->
                    (0UL, [ 0..63 ])
                    ||> List.fold (fun mask bit ->
                        let channel = 64 * word + bit

                        if channel < channels.Length && channels[channel] then
                            mask ||| (1UL <<< bit)
                        else
                            mask))

            signs |> Array.mapi (fun i word -> word ^^^ mask[i % words])
        else
            signs

    /// The weights of a layer after a flattened map, with the inputs in the order height, width, channel instead of channel, height, width.
    let channelsLast side outputs inputs (weights: float[]) =
        if side = 1 then
            weights
        else
            let pixels = side * side
            let channels = inputs / pixels

            Array.init (outputs * inputs) (fun i ->
                let output, place = Math.DivRem(i, inputs)
                let pixel, channel = Math.DivRem(place, channels)
                weights[output * inputs + channel * pixels + pixel])
