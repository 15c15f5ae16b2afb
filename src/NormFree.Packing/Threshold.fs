namespace NormFree.Packing

open System

/// <summary>Where the sign of β·x + b turns, so that one comparison stands for product, sum and sign.</summary>
[<RequireQualifiedAccess>]
module Threshold =

    /// Numbers in the order of the values that have them; 0 and −0 share theirs.
    let private ofRank (rank: int) = BitConverter.Int32BitsToSingle(if rank >= 0 then rank else Int32.MinValue - rank)

    let private infinity = BitConverter.SingleToInt32Bits Single.PositiveInfinity

    /// <summary>The smallest float32 for which a condition holds; +∞ where no finite one is large enough.</summary>
    /// <remarks>
    /// The condition holds for whatever is above a value for which it holds, and not for −∞. A bisection of the values' ranks: 32 questions,
    /// however many neighbours rounding has made alike.
    /// </remarks>
    let smallest (holds: float32 -> bool) =
        let rec between low high =
            // low does not hold, high does; ranks go from −2³¹ to 2³¹, hence 64 bits.
            if int64 high - int64 low <= 1L then
                ofRank high
            else
                let middle = int ((int64 low + int64 high) >>> 1)
                if holds (ofRank middle) then between low middle else between middle high

        if holds Single.MaxValue then
            between -infinity (infinity - 1)
        else
            Single.PositiveInfinity

    /// <summary>The smallest float32 x for which fl(fl(β)·x) + b ≥ 0 as float32 computes it: for smaller ones the sign is −1.</summary>
    /// <remarks>β above 0. The sum's rounding does not change its sign, that of the product may.</remarks>
    let single (beta: float) (shift: float32) =
        let beta = float32 beta
        smallest (fun x -> beta * x + shift >= 0.0f)

    /// <summary>The same as float64 computes it, for a network of such tensors.</summary>
    let double (beta: float) (shift: float) = smallest (fun x -> beta * float x + shift >= 0.0)
