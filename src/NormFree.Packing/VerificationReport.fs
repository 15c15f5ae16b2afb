namespace NormFree.Packing

open NormFree.Runs
open NormFree.Networks

/// <summary>The comparison of one layer, over all images.</summary>
type LayerVerification =
    {
        Key: string
        /// Compared signs of its input; 0 if the layer takes no signs.
        Signs: int64
        /// Those that differ from the composite network's for the same input; expected to be 0.
        Differing: int64
        /// Those where the value before the sign is exactly 0: the composite network's sign is 0, the packed network's +1 (deviation 13).
        Zeros: int64
        /// Different binary weights; expected to be 0.
        DifferingWeights: int64
        /// Thresholds that differ in any bit; expected to be 0.
        DifferingThresholds: int64
        /// The largest difference of its output relative to the output's largest value, for the composite network's input.
        Difference: float
        /// Signs that differ when both networks run separately, because rounding moves values across 0 in this layer or earlier.
        Flips: int64
        /// The largest magnitude before the sign, in the composite network, among these flips.
        FarthestFlip: float
    }

/// <summary>The comparison of a packed network with the checkpoint that it was made from.</summary>
type VerificationReport =
    {
        Images: int
        Layers: LayerVerification list
        /// Binary weights that are exactly 0 before the sign; a packed network uses +1 for them.
        ZeroWeights: int64
        /// The largest difference of the logits when both networks run separately.
        LogitDifference: float
        LargestLogit: float
        /// The largest relative difference between the packed network's logits and those of its layers run one by one.
        WholeDifference: float
    }

    /// <summary>The largest allowed difference of a layer's output, relative to its largest value.</summary>
    static member Tolerance = 1e-5

    /// <summary>Descriptions of all mismatches; empty if the packed network matches.</summary>
    /// <remarks>Flips are not mismatches: sums in another order cause them.</remarks>
    member v.Mismatches =
        [ for layer in v.Layers do
              if layer.Differing > 0L then
                  $"layer {layer.Key}: {layer.Differing} of {layer.Signs} signs of its input differ"

              if layer.DifferingWeights > 0L then
                  $"layer {layer.Key}: {layer.DifferingWeights} binary weights differ"

              if layer.DifferingThresholds > 0L then
                  $"layer {layer.Key}: {layer.DifferingThresholds} thresholds differ"

              // The negation makes NaN a mismatch.
              if not (layer.Difference <= VerificationReport.Tolerance) then
                  $"layer {layer.Key}: its output differs by {layer.Difference:G3} relative to its largest value"

          if not (v.WholeDifference <= VerificationReport.Tolerance) then
              $"the packed network's logits differ from those of its layers by {v.WholeDifference:G3} relative to the largest" ]
