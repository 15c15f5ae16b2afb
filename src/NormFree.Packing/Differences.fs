namespace NormFree.Packing

open System
open NormFree.Kernels.Bits
open TorchSharp

/// How far results and signs are from those that they should be.
module internal Differences =

    /// The larger one; NaN stays.
    let worst (a: float) b = if Double.IsNaN a || a > b then a else b

    /// The largest difference of two results, and the largest value of the second.
    let between (values: float32[]) (expected: float[]) =
        if values.Length <> expected.Length then
            nan, 0.0
        else
            let largest = expected |> Array.fold (fun most v -> worst (abs v) most) 0.0
            Array.fold2 (fun most a b -> worst (abs (float a - b)) most) 0.0 values expected, largest

    /// The first as a part of the second.
    let relative (difference, largest) = if difference = 0.0 then 0.0 else difference / largest

    /// Values of one image, channels last; logits have no map.
    let channelsLast (x: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        FoldedFilters.doubles (if x.dim () = 4L then x.permute (0L, 2L, 3L, 1L) else x)

    /// Places where packed signs are not those of these values, with the values there, without their signs.
    let ofSigns (words: uint64[]) (channels: int) (values: float[]) =
        [| for place in 0 .. values.Length - 1 do
               let row, channel = Math.DivRem(place, channels)

               if SignPacking.IsPlus(words, row, channels, channel) <> (values[place] >= 0.0) then
                   abs values[place] |]

    /// The largest of such values; 0 of none.
    let largest (values: float[]) = if values.Length = 0 then 0.0 else Array.max values
