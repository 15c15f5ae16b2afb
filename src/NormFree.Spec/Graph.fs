namespace NormFree.Spec

/// <summary>A convolution without bias, and how its effective weight is computed from its parameters.</summary>
type ConvolutionSpec =
    {
        /// Its parameters are <c>Key.weight</c> (Out×In/Groups×Kernel×Kernel) and, if standardised, <c>Key.gain</c> (Out×1×1×1).
        Key: string
        In: int
        Out: int
        Kernel: int
        Stride: int
        Padding: int
        Dilation: int
        Groups: int
        Standardised: bool
        Input: OperandPrecision
        Weight: OperandPrecision
        /// Whether binary filters are multiplied by the mean of |v|, and not ±1 alone.
        ScaledSigns: bool
        /// Constant factor of the effective weight.
        Factor: float
    }

    /// <summary>The number of weights of a filter.</summary>
    member conv.FanIn = conv.In / conv.Groups * conv.Kernel * conv.Kernel

/// <summary>The slopes of a PReLU, one per channel: the values of a parameter, or powers of two with its values as exponents.</summary>
type Slopes = { Key: string; Kind: SlopeKind }

/// <summary>Shift, PReLU, shift (ReActNet, section 4.3). The shifts have shape 1×C×1×1, the slopes C.</summary>
type RPReLU = { ShiftIn: string; Slopes: Slopes; ShiftOut: string; Channels: int }

/// <summary>One operation on N×C×H×W signals.</summary>
[<RequireQualifiedAccess>]
type Op =
    | Convolve of ConvolutionSpec
    /// Multiplication by a constant.
    | Scale of float
    /// x + b, with one b per channel.
    | Shift of key: string * channels: int
    | Sign of SignGradient
    | RPReLU of RPReLU
    | PReLU of slopes: Slopes * channels: int
    | ReLU
    | HardTanh
    /// An activation that a script registers under this name.
    | CustomActivation of name: string
    | Normalise of key: string * channels: int
    | MaxPool of kernel: int * stride: int * padding: int
    /// Mean over kernel×kernel, stride = kernel.
    | AveragePool of kernel: int
    /// x − (mean of x over the channels), per pixel. Before a 1×1 convolution it makes every filter sum to zero: w ∗ (x − mean x) = (w − mean w) ∗ x.
    | CenterChannels
    /// Appends channels of zeros.
    | PadChannels of channels: int
    /// Mean over the map: C×H×W to C×1×1.
    | GlobalAveragePool
    /// C×side×side to C·side²×1×1, in that order.
    | Flatten of side: int
    /// C×1×1 to a vector of outputs.
    | Linear of key: string * inputs: int * outputs: int

/// <summary>α·N(w ∗ sign(β·N'(x) + b)), with several convolutions of the same signs if there are several.</summary>
type SignConvolution =
    {
        /// Key of N', a norm before the sign.
        NormBefore: string option
        /// β.
        Beta: float
        /// Key of b.
        Shift: string option
        Sign: SignGradient
        /// Each convolution with its norm's key, if it has a norm. Their results are concatenated, and they differ only in their filters.
        Convolutions: (ConvolutionSpec * string option) list
        /// α.
        Alpha: float
    }

    /// <summary>The channels of x.</summary>
    member c.In = (fst c.Convolutions.Head).In

    /// <summary>The channels of the result.</summary>
    member c.Out = c.Convolutions |> List.sumBy (fun (conv, _) -> conv.Out)

/// <summary>A 1×1 convolution with the key of its norm, if it has one. If <c>Centered</c>, its input is x minus the mean of x over channels.</summary>
type ShortcutProjection = { Convolution: ConvolutionSpec; Norm: string option; Centered: bool }

/// <summary>A downsampling shortcut: average pooling of β·x over kernel×kernel, then an optional projection.</summary>
type PooledShortcut = { Beta: float; Kernel: int; Projection: ShortcutProjection option }

/// <summary>An operation, or a composition of operations.</summary>
type Graph =
    | Op of Op
    /// Runs the parts in order. The empty chain is the identity.
    | Chain of Graph list
    /// branch(x) + shortcut(x).
    | Residual of branch: Graph * shortcut: LayerShortcut
    /// Runs every part on the same input and concatenates the results over channels.
    | Parallel of Graph list
    | Layer of BinaryLayer

/// <summary>What a layer or a residual block does with its input x besides its branch.</summary>
and LayerShortcut =
    | NoShortcut
    /// x is added, repeated so many times over the channels.
    | RepeatedInput of copies: int
    /// The convolution's output is concatenated to x.
    | Concatenated
    | Pooled of PooledShortcut
    | Computed of Graph

/// <summary>activation(convolution(x) + shortcut(x)): one unit for engines and packed files. Every binary convolution of a network is in one.</summary>
and BinaryLayer =
    {
        /// Unique in a network: the key of the first convolution.
        Name: string
        Convolution: SignConvolution
        Shortcut: LayerShortcut
        Activation: Op option
    }

/// <summary>Binary layers and shortcuts as operations.</summary>
[<RequireQualifiedAccess>]
module Graph =

    /// <summary>ε of batch norms.</summary>
    let normEpsilon = 1e-5

    /// A multiplication by 1 is omitted.
    let internal scale factor =
        [ if factor <> 1.0 then
              Op(Op.Scale factor) ]

    /// <summary>A norm, if there is one.</summary>
    let norm key channels = key |> Option.map (fun key -> Op(Op.Normalise(key, channels))) |> Option.toList

    /// <summary>The operations of a layer before its convolution's sign: β·N'(x) + b.</summary>
    let beforeSign (convolution: SignConvolution) =
        Chain
            [ yield! norm convolution.NormBefore convolution.In
              yield! scale convolution.Beta
              match convolution.Shift with
              | Some key -> Op(Op.Shift(key, convolution.In))
              | None -> () ]

    /// <summary>The operations of a layer after its sign, without α.</summary>
    let afterSign (convolution: SignConvolution) =
        match
            [ for conv, key in convolution.Convolutions -> Chain [ Op(Op.Convolve conv); yield! norm key conv.Out ] ]
        with
        | [ single ] -> single
        | several -> Parallel several

    /// <summary>A sign convolution as operations.</summary>
    let ofConvolution (convolution: SignConvolution) =
        Chain
            [ beforeSign convolution
              Op(Op.Sign convolution.Sign)
              afterSign convolution
              yield! scale convolution.Alpha ]

    /// <summary>The convolution of a pooled shortcut with what belongs to it, as operations.</summary>
    let ofProjection (projection: ShortcutProjection option) =
        match projection with
        | None -> Chain []
        | Some projection ->
            Chain
                [ if projection.Centered then
                      Op Op.CenterChannels

                  Op(Op.Convolve projection.Convolution)
                  yield! norm projection.Norm projection.Convolution.Out ]

    /// <summary>A pooled shortcut as operations.</summary>
    let ofPooled (pooled: PooledShortcut) =
        Chain [ yield! scale pooled.Beta; Op(Op.AveragePool pooled.Kernel); ofProjection pooled.Projection ]

    /// <summary>What a shortcut adds to the branch's result, as operations on x.</summary>
    let ofShortcut shortcut =
        match shortcut with
        | RepeatedInput copies when copies > 1 -> Parallel(List.replicate copies (Chain []))
        | NoShortcut
        | RepeatedInput _
        | Concatenated -> Chain []
        | Pooled pooled -> ofPooled pooled
        | Computed graph -> graph

    let private joined (layer: BinaryLayer) =
        let branch = ofConvolution layer.Convolution

        match layer.Shortcut with
        | NoShortcut -> branch
        | Concatenated -> Parallel [ Chain []; branch ]
        | shortcut -> Residual(branch, shortcut)

    /// <summary>A layer as operations.</summary>
    let ofLayer (layer: BinaryLayer) = Chain [ joined layer; yield! layer.Activation |> Option.map Op |> Option.toList ]

    /// <summary>All operations in execution order. A residual's branch precedes its shortcut.</summary>
    let rec operations graph =
        match graph with
        | Op op -> [ op ]
        | Chain parts
        | Parallel parts -> List.collect operations parts
        | Residual(branch, shortcut) -> operations branch @ operations (ofShortcut shortcut)
        | Layer layer -> operations (ofLayer layer)

    /// <summary>All binary layers in execution order.</summary>
    let rec layers graph =
        match graph with
        | Op _ -> []
        | Chain parts
        | Parallel parts -> List.collect layers parts
        | Residual(branch, shortcut) -> layers branch @ layers (ofShortcut shortcut)
        | Layer layer -> [ layer ]
