namespace NormFree.Spec

/// <summary>The expected variance v of each residual block's input at initialisation; β = 1/√v.</summary>
/// <remarks>Brock et al., "Characterizing signal propagation" (ICLR 2021), section 3. The published code deviates from it, see
/// <see cref="T:NormFree.Spec.ExpectedVariance"/>.</remarks>
[<RequireQualifiedAccess>]
module Variance =

    let private corrected added block v = (if Blocks.changesMap block then 1.0 else v) + added

    let private published added (block: Block) v =
        match block.Variance with
        | Keep -> v
        | Accumulate -> v + added
        | Restart -> 1.0
        | ByShortcut -> corrected added block v

    /// Standardised filters give a plain block's output unit variance. Dense blocks and poolings keep v.
    let private afterOther (block: Block) v =
        let convolves =
            block.Branch
            |> List.exists (function
                | Part.Binary _
                | Part.Conv _ -> true
                | _ -> false)

        if block.Shortcut = Shortcut.None && convolves then 1.0 else v

    /// <summary>The expected variance of the input of each residual block, in order.</summary>
    let expected rule alpha blocks =
        let accumulate next =
            (1.0, blocks)
            ||> List.mapFold (fun v block ->
                if Blocks.isResidual block then
                    Some v, next (alpha * alpha) block v
                else
                    None, afterOther block v)
            |> fst
            |> List.choose id

        match rule with
        | ExpectedVariance.Published -> accumulate published
        | ExpectedVariance.Corrected -> accumulate corrected
        | ExpectedVariance.Measured variances -> variances
