namespace NormFree.Spec

/// <summary>A convolution without bias, and how its effective weight is computed from its parameters.</summary>
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
        Input: OperandPrecision
        Weight: OperandPrecision
        /// Constant factor of the effective weight.
        Factor: float
    }

/// <summary>Shift, PReLU, shift (ReActNet, section 4.3). The shifts have shape 1×C×1×1, the slopes C.</summary>
type RPReLU = { ShiftIn: string; Slope: string; ShiftOut: string; Channels: int }

/// <summary>One operation on N×C×H×W signals.</summary>
type Op =
    | Convolve of ConvolutionSpec
    /// Multiplication by a constant.
    | Scale of float
    /// x + b, with one b per channel.
    | Shift of key: string * channels: int
    /// sign(x), with the approximate gradient 2 − 2·|x| on [−1, 1).
    | Sign
    | RPReLU of RPReLU
    | ReLU
    | Normalise of key: string * channels: int
    | MaxPool of kernel: int * stride: int * padding: int
    /// Mean over kernel×kernel, stride = kernel.
    | AveragePool of kernel: int
    /// x − (mean of x over the channels), per pixel. Before a 1×1 convolution it makes every filter sum to zero: w ∗ (x − mean x) = (w − mean w) ∗ x.
    | CenterChannels
    /// Mean over the map: N×C×H×W to N×C.
    | GlobalAveragePool
    | Linear of key: string * inputs: int * outputs: int

/// <summary>A network as operations, with every choice of norm and binarisation resolved.</summary>
type Graph =
    | Op of Op
    /// Runs the parts in order. The empty chain is the identity.
    | Chain of Graph list
    /// branch(x) + shortcut(x).
    | Residual of branch: Graph * shortcut: Graph
    /// Runs every part on the same input and concatenates the results over channels.
    | Parallel of Graph list

[<RequireQualifiedAccess>]
module Graph =

    /// <summary>ε of batch norms.</summary>
    let normEpsilon = 1e-5

    /// <summary>All operations in execution order. A residual's branch precedes its shortcut.</summary>
    let rec operations graph =
        match graph with
        | Op op -> [ op ]
        | Chain parts
        | Parallel parts -> List.collect operations parts
        | Residual(branch, shortcut) -> operations branch @ operations shortcut
