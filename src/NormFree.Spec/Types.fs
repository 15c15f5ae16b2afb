namespace NormFree.Spec

/// <summary>How signals inside a network are normalised.</summary>
type Norm =
    /// Batch normalisation, where the network's table has norms.
    | BatchNorm
    /// No normalisation: the paper's negative control.
    | NoNorm
    /// Standardised weights and residual branches scaled by <c>alpha</c> and <c>β = 1/√(expected variance)</c>; the paper uses α = 0.2.
    | BnFree of alpha: float
    /// <c>BnFree</c> without weight standardisation: only the scaling remains. An ablation that the paper does not have.
    | Scaled of alpha: float

/// <summary>What is binary. Training stage 1 binarises activations; stage 2 binarises weights too.</summary>
type Binarise =
    | Activations
    | ActivationsAndWeights

/// <summary>The precision of a convolution's operand.</summary>
type OperandPrecision =
    | OneBit
    | Real

/// <summary>How a block updates the expected variance v of the published networks. v starts at 1.</summary>
type VarianceStep =
    /// v is unchanged.
    | Keep
    /// v ← v + α².
    | Accumulate
    /// v ← 1.
    | Restart
    /// NF-ResNet's rule, as in <c>ExpectedVariance.Corrected</c>: for networks without published BN-free code.
    | ByShortcut

/// <summary>The rule for the expected variance v of the input of each residual block; β = 1/√v.</summary>
[<RequireQualifiedAccess>]
type ExpectedVariance =
    /// Each block's <c>VarianceStep</c>, as in the published code.
    | Published
    /// NF-ResNet's rule: every block adds α². A block that changes the map first resets v to 1, because its shortcut is scaled to unit variance
    /// (deviation 5 of the method).
    | Corrected
    /// The variances measured on a first batch of images, one per residual block (deviation 6 of the method).
    | Measured of float list

/// <summary>The constant factor of a standardised binary filter.</summary>
[<RequireQualifiedAccess>]
type BinaryGain =
    /// 1, as published. Binarisation then keeps 2/π of a Gaussian filter's variance.
    | One
    /// γ = √(π/2), which restores unit variance (deviation 10 of the method); γ = 1/√fan-in for filters of plain signs.
    | VariancePreserving
