namespace NormFree.Packing

open System
open System.Collections.Generic
open NormFree.Spec
open TorchSharp

/// The signs of a binary layer's input as comparisons with thresholds.
type internal SignInputs =
    {
        /// The packed sign of channel c is +1 where x ≥ threshold c.
        Thresholds: float32[]
        /// Channels whose packed sign is the inverse, because a norm with a negative factor stands before the sign. The filters' bits of these channels
        /// are inverted too, so that their products stay the same.
        Flipped: bool[]
    }

module internal SignInputs =

    let private isDouble (tensors: IReadOnlyDictionary<string, torch.Tensor>) key =
        tensors[key].dtype = torch.ScalarType.Float64

    let private shifts (tensors: IReadOnlyDictionary<string, torch.Tensor>) (convolution: SignConvolution) =
        match convolution.Shift with
        | Some key -> FoldedFilters.doubles tensors[key]
        | None -> Array.zeroCreate convolution.In

    let private withoutNorm tensors (convolution: SignConvolution) =
        let beta = convolution.Beta

        { Thresholds =
            match convolution.Shift with
            | Some key when isDouble tensors key -> shifts tensors convolution |> Array.map (Threshold.double beta)
            | _ -> shifts tensors convolution |> Array.map (float32 >> Threshold.single beta)
          Flipped = Array.create convolution.In false }

    /// β·(a·x + d) + b ≥ 0, in float64: torch's batch norm rounds in an order of its own.
    let private withNorm tensors (convolution: SignConvolution) key =
        let factors, offsets = FoldedFilters.norm tensors convolution.In (Some key)

        let threshold (factor: float) offset shift =
            let holds (x: float32) = convolution.Beta * (factor * float x + offset) + shift >= 0.0

            if factor > 0.0 then Threshold.smallest holds
            elif factor < 0.0 then Threshold.smallest (holds >> not)
            elif holds 0.0f then Single.NegativeInfinity
            else Single.PositiveInfinity

        { Thresholds = Array.map3 threshold factors offsets (shifts tensors convolution)
          Flipped = factors |> Array.map (fun factor -> factor < 0.0) }

    let ofConvolution tensors (convolution: SignConvolution) =
        match convolution.NormBefore with
        | None -> withoutNorm tensors convolution
        | Some key -> withNorm tensors convolution key
