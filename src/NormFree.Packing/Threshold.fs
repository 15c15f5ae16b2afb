namespace NormFree.Packing

open System

/// <summary>The threshold of x at which the sign of β·x + b changes. One comparison with it replaces product, sum and sign.</summary>
[<RequireQualifiedAccess>]
module Threshold =

    /// The float32 with this rank in the order of all values; 0 and −0 share a rank.
    let private ofRank (rank: int) = BitConverter.Int32BitsToSingle(if rank >= 0 then rank else Int32.MinValue - rank)

    let private infinity = BitConverter.SingleToInt32Bits Single.PositiveInfinity

    /// <summary>The smallest float32 for which a monotone condition holds; +∞ if it holds for no finite value.</summary>
    /// <remarks>The condition must be false for −∞. Bisects the ranks of values in 32 steps.</remarks>
    let smallest (holds: float32 -> bool) =
        let rec between low high =
            // The condition is false at low and true at high. Ranks range from −2³¹ to 2³¹, hence 64 bits.
            if int64 high - int64 low <= 1L then
                ofRank high
            else
                let middle = int ((int64 low + int64 high) >>> 1)
                if holds (ofRank middle) then between low middle else between middle high

        if holds Single.MaxValue then
            between -infinity (infinity - 1)
        else
            Single.PositiveInfinity

    /// <summary>The smallest float32 x with fl(fl(β)·x) + b ≥ 0 in float32 arithmetic. Smaller values have the sign −1.</summary>
    /// <remarks>β must be positive. Rounding the sum does not change its sign; rounding the product may.</remarks>
    let single (beta: float) (shift: float32) =
        let beta = float32 beta
        smallest (fun x -> beta * x + shift >= 0.0f)

    /// <summary>The same in float64 arithmetic, for float64 networks.</summary>
    let double (beta: float) (shift: float) = smallest (fun x -> beta * float x + shift >= 0.0)
