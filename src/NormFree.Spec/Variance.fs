namespace NormFree.Spec

/// <summary>The expected variance v of each binary layer's input at initialisation; β = 1/√v.</summary>
/// <remarks>Brock et al., "Characterizing signal propagation" (ICLR 2021), section 3. The published code deviates from it, see
/// <see cref="T:NormFree.Spec.ExpectedVariance"/>.</remarks>
[<RequireQualifiedAccess>]
module Variance =

    let private published added (layer: BinaryLayer) v =
        match layer.Variance with
        | Keep -> v
        | Accumulate -> v + added
        | Restart -> 1.0

    let private corrected added (layer: BinaryLayer) v = (if layer.Stride = 2 then 1.0 else v) + added

    /// <summary>The expected variance of every layer's input, in layer order.</summary>
    let expected rule alpha layers =
        let accumulate next = (1.0, layers) ||> List.mapFold (fun v layer -> v, next (alpha * alpha) layer v) |> fst

        match rule with
        | ExpectedVariance.Published -> accumulate published
        | ExpectedVariance.Corrected -> accumulate corrected
        | ExpectedVariance.Measured variances -> variances
