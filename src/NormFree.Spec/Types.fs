namespace NormFree.Spec

/// <summary>How signals inside a network are normalised.</summary>
type Norm =
    /// Batch normalisation after every convolution (ReActNet).
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

/// <summary>What a binary layer adds to its convolution's output.</summary>
type Shortcut =
    /// The layer's input.
    | Identity
    /// The layer's input, concatenated with itself: the layer doubles its channels.
    | Duplicate
    /// The input averaged over 2×2: the layer has stride 2.
    | Pool
    /// The input averaged over 2×2, then a 1×1 convolution to the layer's output channels.
    | PoolProject

/// <summary>How a layer updates the expected variance v of the published networks. v starts at 1.</summary>
type VarianceStep =
    /// v is unchanged.
    | Keep
    /// v ← v + α².
    | Accumulate
    /// v ← 1.
    | Restart

/// <summary>The rule for the expected variance v; β = 1/√v.</summary>
[<RequireQualifiedAccess>]
type ExpectedVariance =
    /// Each layer's <c>VarianceStep</c>, as in the published code.
    | Published
    /// NF-ResNet's rule: every layer adds α². A stride-2 layer first resets v to 1, because its shortcut is scaled to unit variance
    /// (deviation 5 of the method).
    | Corrected
    /// The variances measured on a first batch of images, one per layer (deviation 6 of the method).
    | Measured of float list

/// <summary>The constant factor of a standardised binary filter.</summary>
[<RequireQualifiedAccess>]
type BinaryGain =
    /// 1, as published. Binarisation then keeps 2/π of a Gaussian filter's variance.
    | One
    /// γ = √(π/2), which restores unit variance (deviation 10 of the method).
    | VariancePreserving

/// <summary>How stage 2 represents the weights of 1×1 shortcut convolutions. Their input is real and its channels have non-zero means.</summary>
[<RequireQualifiedAccess>]
type ShortcutWeights =
    /// s·sign(v), as published. These filters do not sum to zero, so channel means leak into every output channel.
    | Binary
    /// s·(sign(v) − mean(sign(v))): one bit per weight, and every filter sums to zero (deviation 16 of the method).
    | ZeroMean
    /// Real weights, as in stage 1 and in ReActNet's code.
    | Real

/// <summary>The names of one layer's parameters in published checkpoints, relative to the layer's <c>Key</c>.</summary>
/// <remarks><c>Convolutions</c> and <c>Norms</c> have two entries if the layer has two parallel convolutions.</remarks>
type LayerNames =
    { ShiftBefore: string
      Convolutions: string list
      Norms: string list
      ShiftIn: string
      Slope: string
      ShiftOut: string }

/// <summary>
/// One layer of a ReActNet: y = RPReLU(α·N(w ∗ sign(β·x + b)) + shortcut(x)). Both networks of the paper are lists of such layers.
/// </summary>
type BinaryLayer =
    {
        /// Prefix of the layer's parameters, for example <c>layer1.0</c>.
        Key: string
        Names: LayerNames
        /// Side of the square kernel. The padding preserves the map's size at stride 1.
        Kernel: int
        In: int
        Out: int
        Stride: int
        Shortcut: Shortcut
        /// The layer's step in the published rule for the expected variance.
        Variance: VarianceStep
    }

/// <summary>A basic block of a full-precision ResNet: two 3×3 convolutions with batch norm, plus a shortcut.</summary>
type ResidualBlock = { Key: string; In: int; Out: int; Stride: int }

/// <summary>The first convolution, which is real. Its padding is half its kernel.</summary>
type Stem =
    {
        /// Prefix of its parameters: empty, or ending in a dot.
        Key: string
        Kernel: int
        Stride: int
        Channels: int
        /// Whether a 3×3 max-pool of stride 2 follows.
        MaxPool: bool
    }

/// <summary>The binary layers of a network and how they are normalised and binarised.</summary>
type BinaryBody =
    { Layers: BinaryLayer list
      Norm: Norm
      Binarise: Binarise
      ExpectedVariance: ExpectedVariance
      BinaryGain: BinaryGain
      ShortcutWeights: ShortcutWeights }

/// <summary>Everything between the stem and the global average pool.</summary>
type Body =
    | Binary of BinaryBody
    /// ResNet-18 or ResNet-34 in torchvision's layout: a teacher.
    | FullPrecision of ResidualBlock list

/// <summary>A network as a value, without tensors or devices.</summary>
type NetSpec = { Name: string; Stem: Stem; Body: Body; Classes: int }
