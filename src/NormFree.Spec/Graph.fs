namespace NormFree.Spec

/// <summary>A convolution without bias, with all that decides how its weight is made from its parameters.</summary>
type ConvolutionSpec =
    {
        /// Its parameters are <c>Key.weight</c> (Out×In×Kernel×Kernel) and, if standardised, <c>Key.gain</c> (Out×1×1×1).
        Key: string
        In: int
        Out: int
        Kernel: int
        Stride: int
        Padding: int
        Standardised: bool
        Input: Precision
        Weight: Precision
        /// Constant factor of the weight used.
        Factor: float
    }

/// <summary>Shift, PReLU, shift (ReActNet, section 4.3); the shifts are 1×C×1×1, the slopes C.</summary>
type RPReLU = { ShiftIn: string; Slope: string; ShiftOut: string; Channels: int }

/// <summary>One operation on N×C×H×W signals.</summary>
type Op =
    | Convolve of ConvolutionSpec
    /// Multiplication by a constant.
    | Scale of float
    /// x + b, one b a channel.
    | Shift of key: string * channels: int
    /// sign(x), with the approximate gradient 2 − 2·|x| on [−1, 1).
    | Sign
    | RPReLU of RPReLU
    | ReLU
    | Normalise of key: string * channels: int
    | MaxPool of kernel: int * stride: int * padding: int
    /// Mean over kernel×kernel, stride = kernel.
    | AveragePool of kernel: int
    /// x − mean of x over the channels, pixel by pixel. Before a convolution it makes every filter sum to zero: w ∗ (x − mean x) = (w − mean w) ∗ x.
    | CenterChannels
    /// Mean over the map: N×C×H×W to N×C.
    | GlobalAveragePool
    | Linear of key: string * inputs: int * outputs: int

/// <summary>A network with every choice of norm and binarisation worked out: what is left is to run it.</summary>
type Graph =
    | Op of Op
    /// One after the other; the empty chain is the identity.
    | Chain of Graph list
    /// branch(x) + shortcut(x).
    | Residual of branch: Graph * shortcut: Graph
    /// The results side by side, concatenated over channels.
    | Parallel of Graph list

[<RequireQualifiedAccess>]
module Graph =

    /// <summary>What batch norms add to a variance.</summary>
    let normEpsilon = 1e-5

    /// <summary>All operations in the order in which they run; a residual's branch comes before its shortcut.</summary>
    let rec operations graph =
        match graph with
        | Op op -> [ op ]
        | Chain parts
        | Parallel parts -> List.collect operations parts
        | Residual(branch, shortcut) -> operations branch @ operations shortcut
