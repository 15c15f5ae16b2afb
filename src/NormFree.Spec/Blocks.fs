namespace NormFree.Spec

/// <summary>The gradient of sign(x) in the backward pass. x is the input of the sign.</summary>
[<RequireQualifiedAccess>]
type SignGradient =
    /// 2 − 2·|x| on [−1, 1), else 0 (Liu et al., "Bi-Real Net", ECCV 2018, eq. 5–6). Larq's <c>approx_sign</c>.
    | ApproxSign
    /// 1 where |x| ≤ bound, else 0 (Hubara et al., "Binarized neural networks", NeurIPS 2016). Larq's <c>ste_sign</c>; BinaryDenseNet uses 1.3.
    | StraightThrough of bound: float
    /// 2k·σ(kx)·(1 − σ(kx)): the derivative of 2σ(kx) − 1.
    | SigmoidDerivative of k: float
    /// The derivative of β-scaled SignSwish (Darabi et al., "BNN+", 2018): β·(2 − βx·tanh(βx/2))/(1 + cosh(βx)). Larq's <c>swish_sign</c>.
    | SwishSign of beta: float
    /// The derivative of tanh(k·x), where k grows geometrically from <c>first</c> to <c>last</c> over a stage.
    | AnnealedTanh of first: float * last: float
    /// A gradient that a script registers under this name.
    | Custom of name: string

/// <summary>How stage 2 represents the filters of a convolution. In stage 1 all filters are real. v is a filter, standardised if the norm is bn-free.</summary>
[<RequireQualifiedAccess>]
type WeightBinariser =
    /// s·sign(v) with s = mean|v| (Rastegari et al., "XNOR-Net", ECCV 2016).
    | Binary
    /// sign(v).
    | PlainSign
    /// s·(sign(v) − mean(sign(v))): one bit per weight, and every filter sums to zero (deviation 16 of the method). For 1×1 shortcuts, whose input
    /// is real and has channels with non-zero means.
    | ZeroMean
    /// Real weights, as in stage 1.
    | Real

/// <summary>The names of an RPReLU's parameters, relative to the block's key.</summary>
type RPReLUNames = { ShiftIn: string; Slope: string; ShiftOut: string }

/// <summary>What the slopes of RPReLUs may be.</summary>
[<RequireQualifiedAccess>]
type SlopeKind =
    | Real
    /// 2^round(k) with a learned k.
    | PowerOfTwo

/// <summary>An activation function.</summary>
[<RequireQualifiedAccess>]
type Activation =
    /// Shift, PReLU, shift (Liu et al., "ReActNet", ECCV 2020, section 4.3).
    | RPReLU of RPReLUNames
    /// An RPReLU with slopes 2^round(k); the parameter <c>Slope</c> holds k, one per channel (Ma et al., "A&amp;B BNN", CVPR 2024).
    | PowerOfTwoRPReLU of RPReLUNames
    /// max(x, 0) + slope·min(x, 0), with one slope per channel; <c>slope</c> is the parameter's name.
    | PReLU of slope: string
    | ReLU
    /// x clamped to [−1, 1].
    | HardTanh
    /// A function that a script registers under this name.
    | Custom of name: string

/// <summary>A convolution of signs, w ∗ sign(x + b).</summary>
type BinaryConvolution =
    {
        /// The names of its filters, relative to the block's key. Several convolutions of the same signs run in parallel and share the output
        /// channels equally.
        Convolutions: string list
        /// The name of b, a shift per channel; None for sign(x).
        Shift: string option
        Out: int
        /// Side of the square kernel, odd. The padding preserves the map's size at stride 1.
        Kernel: int
        Stride: int
        Groups: int
        Dilation: int
        Sign: SignGradient
        Weights: WeightBinariser
    }

/// <summary>A convolution with real filters and a real input, without a bias. Its padding preserves the map's size at stride 1.</summary>
type RealConvolution = { Name: string; Out: int; Kernel: int; Stride: int; Groups: int }

/// <summary>A step of a block. Names are relative to the block's key.</summary>
[<RequireQualifiedAccess>]
type Part =
    | Binary of BinaryConvolution
    | Conv of RealConvolution
    /// A batch norm in a network with batch norm, nothing in others. Parallel convolutions have one each.
    | Norm of names: string list
    | Activation of Activation
    | MaxPool of kernel: int * stride: int * padding: int
    /// The mean over kernel×kernel, with stride kernel.
    | AveragePool of kernel: int
    /// The mean over the map.
    | GlobalAveragePool
    /// C×side×side to a vector of C·side² values, in that order.
    | Flatten of side: int
    /// The classifier: a linear layer with a bias and one output per class.
    | Linear of name: string

/// <summary>A 1×1 convolution in a shortcut.</summary>
type Projection = { Name: string; Norm: string; Weights: WeightBinariser }

/// <summary>What a block adds to its branch's output. x is the block's input.</summary>
[<RequireQualifiedAccess>]
type Shortcut =
    /// Nothing: a plain block.
    | None
    /// x.
    | Identity
    /// x concatenated with itself, for blocks that double their channels.
    | Duplicate
    /// The branch's output is concatenated to x, not added: a dense block.
    | Concatenate
    /// x averaged over 2×2.
    | AveragePool
    /// x averaged over 2×2, then a 1×1 convolution.
    | AveragePoolProject of Projection
    /// The maximum of x over 2×2.
    | MaxPool
    /// A 1×1 convolution of x with the branch's stride.
    | Project of Projection
    /// x, averaged over 2×2 if the branch has stride 2, with channels of zeros appended.
    | PadChannels

/// <summary>after(α·branch(β·x) + shortcut(x)). Only residual blocks have α and β.</summary>
type Block =
    {
        /// Prefix of the parameters' names, for example <c>layer1.0</c>; may be empty.
        Key: string
        Branch: Part list
        Shortcut: Shortcut
        After: Part list
        /// The block's step in the published rule for the expected variance.
        Variance: VarianceStep
    }

/// <summary>A network as a value, without tensors or devices. Its first block is the stem, its last one the classifier.</summary>
type NetSpec =
    { Name: string
      Blocks: Block list
      Classes: int
      Norm: Norm
      Binarise: Binarise
      ExpectedVariance: ExpectedVariance
      BinaryGain: BinaryGain }
