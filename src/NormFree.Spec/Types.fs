namespace NormFree.Spec

/// <summary>How signals inside a network are normalised.</summary>
type Norm =
    /// Batch normalisation after every convolution (ReActNet).
    | BatchNorm
    /// Nothing in its place: the paper's negative control.
    | NoNorm
    /// Standardised weights and residual branches scaled by <c>alpha</c> and <c>β = 1/√(expected variance)</c>; the paper uses α = 0.2.
    | BnFree of alpha: float
    /// <c>BnFree</c> without its standardised weights: what is left is the scaling. An ablation; the paper has no such network.
    | Scaled of alpha: float

/// <summary>What is binary: stage 1 of the training binarises activations, stage 2 weights as well.</summary>
type Binarise =
    | Activations
    | ActivationsAndWeights

/// <summary>What an operand of a convolution is made of.</summary>
type Precision =
    | OneBit
    | Real

/// <summary>What a binary layer adds to its convolution's result.</summary>
type Shortcut =
    /// The layer's input.
    | Identity
    /// The layer's input twice, side by side: the layer doubles its channels.
    | Duplicate
    /// The input averaged over 2×2: the layer has stride 2.
    | Pool
    /// The input averaged over 2×2, then a 1×1 convolution to the layer's output channels.
    | PoolProject

/// <summary>What a layer does to the running expected variance v of the published networks. All start at v = 1.</summary>
type VarianceStep =
    /// v stays.
    | Keep
    /// v ← v + α².
    | Accumulate
    /// v ← 1.
    | Restart

/// <summary>Which rule gives the expected variance that β is made of.</summary>
[<RequireQualifiedAccess>]
type ExpectedVariance =
    /// Each layer's own step, as in the published code.
    | Published
    /// NF-ResNet's rule: every layer adds α² after itself, a stride-2 layer first restarts at 1, since its shortcut is scaled to
    /// unit variance (deviation 5 of the method).
    | Corrected
    /// What a first batch of images had, layer by layer (deviation 6 of the method).
    | Measured of float list

/// <summary>The constant factor of a standardised binary filter.</summary>
[<RequireQualifiedAccess>]
type BinaryGain =
    /// 1, as published: binarising then keeps 2/π of a Gaussian filter's variance.
    | One
    /// γ = √(π/2), which restores unit variance (deviation 10 of the method).
    | VariancePreserving

/// <summary>What stage 2 makes of the weights of 1×1 convolutions in shortcuts. Their input is real, and its channels have means.</summary>
[<RequireQualifiedAccess>]
type ShortcutWeights =
    /// s·sign(v), as published. These filters do not sum to zero, so that channel means leak into every output channel.
    | Binary
    /// s·(sign(v) − mean(sign(v))): one bit a weight, and every filter sums to zero (deviation 16 of the method).
    | ZeroMean
    /// Real weights, as in stage 1 and in ReActNet's own code.
    | Real

/// <summary>The names under which published checkpoints keep one layer's parameters, below the layer's <c>Key</c>.</summary>
/// <remarks><c>Convolutions</c> and <c>Norms</c> have two entries where the layer is two convolutions side by side.</remarks>
type LayerNames =
    { ShiftBefore: string
      Convolutions: string list
      Norms: string list
      ShiftIn: string
      Slope: string
      ShiftOut: string }

/// <summary>
/// One layer of a ReActNet: y = RPReLU(α·N(w ∗ sign(β·x + b)) + shortcut(x)). Both networks of the paper are lists of it.
/// </summary>
type BinaryLayer =
    {
        /// Prefix of the layer's parameters, for example <c>layer1.0</c>.
        Key: string
        Names: LayerNames
        /// Side of the square kernel; the padding keeps the map's size at stride 1.
        Kernel: int
        In: int
        Out: int
        Stride: int
        Shortcut: Shortcut
        /// The layer's step in the published rule for the expected variance.
        Variance: VarianceStep
    }

/// <summary>A basic block of a full-precision ResNet: two 3×3 convolutions with batch norm, and a shortcut.</summary>
type ResidualBlock = { Key: string; In: int; Out: int; Stride: int }

/// <summary>The first, real convolution; its padding is half its kernel.</summary>
type Stem =
    {
        /// Prefix of its parameters: empty or ending with a dot.
        Key: string
        Kernel: int
        Stride: int
        Channels: int
        /// A 3×3 max-pool of stride 2 follows.
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
    /// ResNet-18 or ResNet-34 as torchvision lays them out: a teacher.
    | FullPrecision of ResidualBlock list

/// <summary>A network as a value. Nothing here allocates a tensor or knows a device.</summary>
type NetSpec = { Name: string; Stem: Stem; Body: Body; Classes: int }
