namespace NormFree.Packing

open NormFree.Runs
open NormFree.Networks

/// <summary>What was found of one layer, over all images.</summary>
type LayerVerification =
    {
        Key: string
        /// Signs of its input that were compared; 0 where it has none.
        Signs: int64
        /// … that are not the composite network's, though the layer had that network's own input: there should be none.
        Differing: int64
        /// … where the composite network's value is exactly 0 before the sign. It makes 0 of it, a packed network +1 (deviation 13).
        Zeros: int64
        /// Binary weights that differ from the network's: there should be none.
        DifferingWeights: int64
        /// Thresholds that differ from the network's in any bit: there should be none.
        DifferingThresholds: int64
        /// The largest difference of its result, as a part of the result's largest value, for the composite network's own input.
        Difference: float
        /// Signs that differ where both networks run by themselves: rounding brings values to the other side of 0, and what follows from it.
        Flips: int64
        /// The composite network's value before the sign, at the flip where it is farthest from 0.
        FarthestFlip: float
    }

/// <summary>What came of comparing a packed network with the one that it was made of.</summary>
type VerificationReport =
    {
        Images: int
        Layers: LayerVerification list
        /// Binary weights that are exactly 0 before the sign; a packed network has +1 for them.
        ZeroWeights: int64
        /// The largest difference of the logits where both networks run by themselves.
        LogitDifference: float
        LargestLogit: float
        /// The largest difference between the packed network's logits and those of its layers one by one, as a part of the largest.
        WholeDifference: float
    }

    /// <summary>What a layer's result may differ by, as a part of its largest value.</summary>
    static member Tolerance = 1e-5

    /// <summary>What is not as it has to be, in words; nothing where the packed network is the composite one.</summary>
    /// <remarks>Flips are none of it: sums in another order make them.</remarks>
    member v.Mismatches =
        [ for layer in v.Layers do
              if layer.Differing > 0L then
                  $"layer {layer.Key}: {layer.Differing} of {layer.Signs} signs of its input differ"

              if layer.DifferingWeights > 0L then
                  $"layer {layer.Key}: {layer.DifferingWeights} binary weights differ"

              if layer.DifferingThresholds > 0L then
                  $"layer {layer.Key}: {layer.DifferingThresholds} thresholds differ"

              // Written so that NaN is none.
              if not (layer.Difference <= VerificationReport.Tolerance) then
                  $"layer {layer.Key}: its result differs by {layer.Difference:G3} of its largest value"

          if not (v.WholeDifference <= VerificationReport.Tolerance) then
              $"the packed network's logits differ from those of its layers by {v.WholeDifference:G3} of the largest" ]
