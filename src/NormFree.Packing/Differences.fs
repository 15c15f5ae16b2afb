namespace NormFree.Packing

open System
open NormFree.Kernels.Bits
open TorchSharp

/// Differences between actual and expected values and signs.
module internal Differences =

    /// The larger value, or NaN if either is NaN.
    let worst (a: float) b = if Double.IsNaN a || a > b then a else b

    /// The largest absolute difference, and the largest expected magnitude.
    let between (values: float32[]) (expected: float[]) =
        if values.Length <> expected.Length then
            nan, 0.0
        else
            let largest = expected |> Array.fold (fun most v -> worst (abs v) most) 0.0
            Array.fold2 (fun most a b -> worst (abs (float a - b)) most) 0.0 values expected, largest

    /// The difference relative to the largest value.
    let relative (difference, largest) = if difference = 0.0 then 0.0 else difference / largest

    /// The values of one image, channels last; or logits.
    let channelsLast (x: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        FoldedFilters.doubles (if x.dim () = 4L then x.permute (0L, 2L, 3L, 1L) else x)

    /// The magnitudes of the values whose sign differs from the packed one.
    let ofSigns (words: uint64[]) (channels: int) (values: float[]) =
        [| for place in 0 .. values.Length - 1 do
               let row, channel = Math.DivRem(place, channels)

               if SignPacking.IsPlus(words, row, channels, channel) <> (values[place] >= 0.0) then
                   abs values[place] |]

    /// The largest magnitude; 0 if there are none.
    let largest (values: float[]) = if values.Length = 0 then 0.0 else Array.max values
