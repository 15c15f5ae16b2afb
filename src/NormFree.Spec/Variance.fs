namespace NormFree.Spec

/// <summary>The variance that each binary layer's input is expected to have at the start of training; β = 1/√v.</summary>
/// <remarks>Brock et al., "Characterizing signal propagation" (ICLR 2021), section 3; the published code departs from it, see
/// <see cref="T:NormFree.Spec.ExpectedVariance"/>.</remarks>
[<RequireQualifiedAccess>]
module Variance =

    let private next rule alpha (layer: BinaryLayer) v =
        let added = alpha * alpha

        match rule, layer.Variance with
        | ExpectedVariance.Published, Keep -> v
        | ExpectedVariance.Published, Accumulate -> v + added
        | ExpectedVariance.Published, Restart -> 1.0
        | ExpectedVariance.Corrected, _ when layer.Stride = 2 -> 1.0 + added
        | ExpectedVariance.Corrected, _ -> v + added

    /// <summary>The expected variance of every layer's input, in the order of the layers.</summary>
    let expected rule alpha layers = (1.0, layers) ||> List.mapFold (fun v layer -> v, next rule alpha layer v) |> fst
