namespace NormFree.Spec

/// <summary>Lowers a network's blocks to graphs. Only this module interprets <c>Norm</c> and <c>Binarise</c>.</summary>
[<RequireQualifiedAccess>]
module Lowering =

    /// What a network's norm and binarisation mean for a block.
    type private Rules =
        {
            Key: string
            Classes: int
            Alpha: float
            Beta: float
            Standardised: bool
            HasNorm: bool
            Weight: OperandPrecision
            /// Whether a factor restores the variance that standardised filters lose or gain by binarisation.
            PreservesVariance: bool
        }

    let private rules (net: NetSpec) =
        let weight =
            match net.Binarise with
            | Activations -> Real
            | ActivationsAndWeights -> OneBit

        let plain =
            { Key = ""
              Classes = net.Classes
              Alpha = 1.0
              Beta = 1.0
              Standardised = false
              HasNorm = false
              Weight = weight
              PreservesVariance = false }

        match net.Norm with
        | BatchNorm -> { plain with HasNorm = true }
        | NoNorm -> plain
        | BnFree alpha ->
            { plain with
                Alpha = alpha
                Standardised = true
                PreservesVariance = (net.BinaryGain = BinaryGain.VariancePreserving) }
        | Scaled alpha -> { plain with Alpha = alpha }

    /// β of every block; 1 for blocks without it.
    let private betas (net: NetSpec) =
        let variances =
            match net.Norm with
            | BatchNorm
            | NoNorm -> Net.residualBlocks net |> List.map (fun _ -> 1.0)
            | BnFree alpha
            | Scaled alpha -> Variance.expected net.ExpectedVariance alpha net.Blocks

        (variances, net.Blocks)
        ||> List.mapFold (fun variances block ->
            match variances with
            | v :: rest when Blocks.isResidual block -> 1.0 / sqrt v, rest
            | _ -> 1.0, variances)
        |> fst

    let private keyed block name = if block = "" then name else $"{block}.{name}"

    let private named rules name = keyed rules.Key name

    /// The key of a norm, in networks that have norms.
    let private normKey rules name = if rules.HasNorm then Some(named rules name) else None

    let private convolution rules name (weights: WeightBinariser) input channels outputs : ConvolutionSpec =
        let weight = if weights = WeightBinariser.Real then Real else rules.Weight

        { Key = named rules name
          In = channels
          Out = outputs
          Kernel = 1
          Stride = 1
          Padding = 0
          Dilation = 1
          Groups = 1
          Standardised = rules.Standardised
          Input = input
          Weight = weight
          ScaledSigns = weights <> WeightBinariser.PlainSign
          Factor = 1.0 }

    /// A standardised filter has variance 1/fan-in. Of it, s·sign(v) keeps 2/π, and sign(v) has 1.
    let private withFactor rules (conv: ConvolutionSpec) =
        match conv.Weight with
        | OneBit when rules.PreservesVariance ->
            { conv with
                Factor =
                    (if conv.ScaledSigns then
                         sqrt (System.Math.PI / 2.0)
                     else
                         1.0 / sqrt (float conv.FanIn)) }
        | _ -> conv

    let private realConvolution rules channels (conv: RealConvolution) =
        Op(
            Op.Convolve
                { convolution rules conv.Name WeightBinariser.Real Real channels conv.Out with
                    Kernel = conv.Kernel
                    Stride = conv.Stride
                    Padding = conv.Kernel / 2
                    Groups = conv.Groups }
        )

    let private layer rules channels before (conv: BinaryConvolution) after =
        let outputs = conv.Out / conv.Convolutions.Length

        let norms =
            match after with
            | [] -> conv.Convolutions |> List.map (fun _ -> None)
            | names -> names |> List.map (normKey rules)

        let one name =
            { convolution rules name conv.Weights OneBit channels outputs with
                Kernel = conv.Kernel
                Stride = conv.Stride
                Padding = conv.Dilation * (conv.Kernel / 2)
                Dilation = conv.Dilation
                Groups = conv.Groups }
            |> withFactor rules

        Layer
            { Name = named rules conv.Convolutions.Head
              Convolution =
                { NormBefore = before |> Option.bind (normKey rules)
                  Beta = 1.0
                  Shift = conv.Shift |> Option.map (named rules)
                  Sign = conv.Sign
                  Convolutions = List.zip (List.map one conv.Convolutions) norms
                  Alpha = 1.0 }
              Shortcut = NoShortcut
              Activation = None }

    let private rprelu rules channels kind (names: RPReLUNames) =
        Op.RPReLU
            { ShiftIn = named rules names.ShiftIn
              Slopes = { Key = named rules names.Slope; Kind = kind }
              ShiftOut = named rules names.ShiftOut
              Channels = channels }

    let private activation rules channels activation =
        match activation with
        | Activation.RPReLU names -> rprelu rules channels SlopeKind.Real names
        | Activation.PowerOfTwoRPReLU names -> rprelu rules channels SlopeKind.PowerOfTwo names
        | Activation.PReLU slope -> Op.PReLU({ Key = named rules slope; Kind = SlopeKind.Real }, channels)
        | Activation.ReLU -> Op.ReLU
        | Activation.HardTanh -> Op.HardTanh
        | Activation.Custom name -> Op.CustomActivation name

    let private norm rules channels names =
        names |> List.choose (normKey rules) |> List.map (fun key -> Op(Op.Normalise(key, channels)))

    /// One part, and the channels after it.
    let private single rules channels part =
        match part with
        | Part.Binary conv -> [ layer rules channels None conv [] ], conv.Out
        | Part.Conv conv -> [ realConvolution rules channels conv ], conv.Out
        | Part.Norm names -> norm rules channels names, channels
        | Part.Activation chosen -> [ Op(activation rules channels chosen) ], channels
        | Part.MaxPool(kernel, stride, padding) -> [ Op(Op.MaxPool(kernel, stride, padding)) ], channels
        | Part.AveragePool kernel -> [ Op(Op.AveragePool kernel) ], channels
        | Part.GlobalAveragePool -> [ Op Op.GlobalAveragePool ], channels
        | Part.Flatten side -> [ Op(Op.Flatten side) ], channels * side * side
        | Part.Linear name -> [ Op(Op.Linear(named rules name, channels, rules.Classes)) ], rules.Classes

    /// The parts in order, and the channels after them. A norm beside a binary convolution becomes part of its layer.
    let rec private sequence rules channels parts : Graph list * int =
        let followed graphs channels rest =
            let more, last = sequence rules channels rest
            graphs @ more, last

        match parts with
        | [] -> [], channels
        | Part.Norm [ before ] :: Part.Binary conv :: Part.Norm after :: rest ->
            followed [ layer rules channels (Some before) conv after ] conv.Out rest
        | Part.Norm [ before ] :: Part.Binary conv :: rest ->
            followed [ layer rules channels (Some before) conv [] ] conv.Out rest
        | Part.Binary conv :: Part.Norm after :: rest -> followed [ layer rules channels None conv after ] conv.Out rest
        | part :: rest ->
            let graphs, channels = single rules channels part
            followed graphs channels rest

    /// A binary layer takes over the activation that follows it.
    let rec private withActivations graphs =
        match graphs with
        | Layer({ Activation = None } as layer) :: Op(Op.RPReLU _ | Op.PReLU _ | Op.ReLU | Op.HardTanh as op) :: rest ->
            Layer { layer with Activation = Some op } :: withActivations rest
        | graph :: rest -> graph :: withActivations rest
        | [] -> []

    /// α·branch(β·x): a binary layer at the start or at the end takes over the factor.
    let private scaled rules branch =
        let first =
            match branch with
            | Layer layer :: rest ->
                Layer { layer with Convolution = { layer.Convolution with Beta = rules.Beta } } :: rest
            | _ -> Graph.scale rules.Beta @ branch

        match List.rev first with
        | Layer layer :: before ->
            List.rev (Layer { layer with Convolution = { layer.Convolution with Alpha = rules.Alpha } } :: before)
        | _ -> first @ Graph.scale rules.Alpha

    let private projected rules stride channels outputs (projection: Projection) : ShortcutProjection =
        let conv =
            convolution rules projection.Name projection.Weights Real channels outputs |> withFactor rules

        { Convolution = { conv with Stride = stride }
          Norm = normKey rules projection.Norm
          Centered = conv.Weight = OneBit && projection.Weights = WeightBinariser.ZeroMean }

    let private pooled rules projection = Pooled { Beta = rules.Beta; Kernel = 2; Projection = projection }

    /// The shortcut of a residual or dense block; those that change the map start from β·x.
    let private shortcut rules stride channels outputs shortcut =
        let computed graphs = Computed(Chain(Graph.scale rules.Beta @ graphs))

        match shortcut with
        | Shortcut.None -> NoShortcut
        | Shortcut.Identity
        | Shortcut.Duplicate -> RepeatedInput(max 1 (outputs / channels))
        | Shortcut.Concatenate -> Concatenated
        | Shortcut.AveragePool -> pooled rules None
        | Shortcut.AveragePoolProject projection -> pooled rules (Some(projected rules 1 channels outputs projection))
        | Shortcut.MaxPool -> computed [ Op(Op.MaxPool(2, 2, 0)) ]
        | Shortcut.Project projection ->
            computed [ Graph.ofProjection (Some(projected rules stride channels outputs projection)) ]
        | Shortcut.PadChannels ->
            computed
                [ if stride = 2 then
                      Op(Op.AveragePool 2)
                  Op(Op.PadChannels(outputs - channels)) ]

    /// branch(x) + shortcut(x) where the branch is not one binary layer.
    let private joined branch shortcut =
        match shortcut with
        | NoShortcut -> branch
        | Concatenated -> [ Parallel [ Chain []; Chain branch ] ]
        | shortcut -> [ Residual(Chain(withActivations branch), shortcut) ]

    /// A block's graph, and the channels after it.
    let private block (net: Rules) channels (beta, block: Block) =
        let rules = { net with Key = block.Key; Beta = beta }
        let branch, outputs = sequence rules channels block.Branch
        let branch = if Blocks.isResidual block then scaled rules branch else branch
        let shortcut = shortcut rules (Blocks.stride block) channels outputs block.Shortcut

        let sum =
            match branch with
            | [ Layer layer ] -> [ Layer { layer with Shortcut = shortcut } ]
            | _ -> joined branch shortcut

        let outputs = if shortcut = Concatenated then channels + outputs else outputs
        let after, outputs = sequence rules outputs block.After
        Chain(withActivations (sum @ after)), outputs

    /// The key of a block's first convolution or linear layer.
    let private name number (block: Block) =
        block.Branch @ block.After
        |> List.tryPick (function
            | Part.Binary conv -> List.tryHead conv.Convolutions
            | Part.Conv conv -> Some conv.Name
            | Part.Linear name -> Some name
            | _ -> None)
        |> Option.map (keyed block.Key)
        |> Option.defaultValue (if block.Key = "" then $"block{number}" else block.Key)

    /// <summary>
    /// The network's blocks as named graphs, in order. The spec must be valid (<see cref="M:NormFree.Spec.Validation.validate"/>).
    /// </summary>
    let parts (net: NetSpec) : (string * Graph) list =
        let graphs, _ = (3, List.zip (betas net) net.Blocks) ||> List.mapFold (block (rules net))
        graphs |> List.mapi (fun i graph -> name i net.Blocks[i], graph)

    /// <summary>The whole network as one graph.</summary>
    let lower net = parts net |> List.map snd |> Chain

    /// <summary>The network's binary layers, in order.</summary>
    let layers net = Graph.layers (lower net)
