namespace NormFree.Spec

/// <summary>What A&amp;B BNN, which has no norms either, changes in a network (Ma et al., CVPR 2024, and its code).</summary>
[<RequireQualifiedAccess>]
module AbBnn =

    /// <summary>No norm, with α = 0.25.</summary>
    let norm = BnFree 0.25

    /// <summary>The gradient of 2σ(3x) − 1.</summary>
    let sign = SignGradient.SigmoidDerivative 3.0

    /// <summary>Slopes of RPReLU that are powers of two.</summary>
    let slopes = SlopeKind.PowerOfTwo

/// <summary>Functions that build and modify networks, for pipes: <c>ReActNet.r18 |> Net.withNorm BatchNorm |> Net.withClasses 10</c>. All work on
/// any network.</summary>
[<RequireQualifiedAccess>]
module Net =

    /// <summary>A network of these blocks: bn-free with α = 0.2, binary activations, 1000 classes.</summary>
    let create name (blocks: Block seq) : NetSpec =
        { Name = name
          Blocks = List.ofSeq blocks
          Classes = 1000
          Norm = BnFree Defaults.Alpha
          Binarise = Activations
          ExpectedVariance = ExpectedVariance.Published
          BinaryGain = BinaryGain.One }

    /// <summary>The network if it has a binary convolution; None for a full-precision network.</summary>
    let tryBinary (net: NetSpec) : NetSpec option =
        if net.Blocks |> List.exists (Blocks.binaryConvolutions >> List.isEmpty >> not) then
            Some net
        else
            None

    /// <summary>Whether the network has a binary convolution.</summary>
    let isBinary net = (tryBinary net).IsSome

    /// <summary>The stem.</summary>
    let stem (net: NetSpec) = List.head net.Blocks

    /// <summary>The residual blocks, which have β, in order.</summary>
    let residualBlocks (net: NetSpec) = net.Blocks |> List.filter Blocks.isResidual

    let withClasses classes (net: NetSpec) = { net with Classes = classes }

    let withNorm norm (net: NetSpec) = { net with Norm = norm }

    let withBinarise binarise (net: NetSpec) = { net with Binarise = binarise }

    let withExpectedVariance rule (net: NetSpec) = { net with ExpectedVariance = rule }

    let withBinaryGain gain (net: NetSpec) = { net with BinaryGain = gain }

    /// <summary>Changes every block, the stem and the classifier too.</summary>
    let mapBlocks change (net: NetSpec) = { net with Blocks = List.map change net.Blocks }

    /// <summary>Replaces the first block.</summary>
    let withStem stem (net: NetSpec) = { net with Blocks = stem :: List.tail net.Blocks }

    /// <summary>Changes the gradient of every sign.</summary>
    let withSign sign net = net |> mapBlocks (Blocks.mapBinary (fun conv -> { conv with Sign = sign }))

    /// <summary>Whether an activation of the network is an RPReLU.</summary>
    let hasRPReLU (net: NetSpec) =
        net.Blocks
        |> List.collect (fun block -> block.Branch @ block.After)
        |> List.exists (function
            | Part.Activation(Activation.RPReLU _ | Activation.PowerOfTwoRPReLU _) -> true
            | _ -> false)

    /// The name of a slope's parameter for another kind of slopes.
    let private renamed (suffix: string) (other: string) (names: RPReLUNames) =
        if names.Slope.EndsWith suffix then
            { names with Slope = names.Slope.Substring(0, names.Slope.Length - suffix.Length) + other }
        else
            names

    /// <summary>Changes the slopes of every RPReLU. The parameter <c>prelu.weight</c> becomes <c>prelu.exponent</c>, or the reverse.</summary>
    let withSlopes kind net =
        let change activation =
            match activation, kind with
            | Activation.RPReLU names, SlopeKind.PowerOfTwo ->
                Activation.PowerOfTwoRPReLU(renamed ".weight" ".exponent" names)
            | Activation.PowerOfTwoRPReLU names, SlopeKind.Real ->
                Activation.RPReLU(renamed ".exponent" ".weight" names)
            | _ -> activation

        mapBlocks (Blocks.mapActivations change) net

    /// <summary>Changes the filters of every binary convolution; those of shortcuts keep theirs.</summary>
    let withWeights weights net = net |> mapBlocks (Blocks.mapBinary (fun conv -> { conv with Weights = weights }))

    /// <summary>Changes the filters of every shortcut's convolution. A full-precision network is returned unchanged.</summary>
    let withShortcutWeights weights net =
        if isBinary net then
            net |> mapBlocks (Blocks.mapProjection (fun projection -> { projection with Weights = weights }))
        else
            net

    /// <summary>The network in the form of A&amp;B BNN: the norm, sign and slopes of <c>AbBnn</c>.</summary>
    let asAbBnn net = net |> withNorm AbBnn.norm |> withSign AbBnn.sign |> withSlopes AbBnn.slopes

    /// <summary>The filters of the shortcuts' convolutions, if a binary network has such and all agree.</summary>
    let shortcutWeights net =
        match tryBinary net with
        | None -> None
        | Some net ->
            match net.Blocks |> List.choose Blocks.projection |> List.map _.Weights |> List.distinct with
            | [ weights ] -> Some weights
            | _ -> None

    /// The channels of the first binary convolution, or of the first one if all are real.
    let private baseChannels (net: NetSpec) =
        let parts = net.Blocks |> List.collect (fun block -> block.Branch @ block.After)
        let binary = parts |> List.filter _.IsBinary
        (if binary.IsEmpty then parts else binary) |> List.tryPick Parts.outputs

    let private mapOutputs change =
        mapBlocks (
            Blocks.mapParts (function
                | Part.Binary conv -> Part.Binary { conv with Out = change conv.Out }
                | Part.Conv conv ->
                    let outputs = change conv.Out
                    let groups = if conv.Groups = conv.Out then outputs else conv.Groups
                    Part.Conv { conv with Out = outputs; Groups = groups }
                | part -> part)
        )

    /// <summary>Multiplies all channels by a factor. The channels of the first binary convolution are rounded to a multiple of 8, at least 8. Channels
    /// that are a multiple of them stay that multiple, others are rounded likewise.</summary>
    let withWidth (factor: float) net =
        match baseChannels net with
        | None -> net
        | Some _ when factor = 1.0 -> net
        | Some first ->
            let rounded channels = max 8 (8 * int (round (float channels * factor / 8.0)))
            let scaled = rounded first

            net
            |> mapOutputs (fun channels ->
                if channels % first = 0 then scaled * (channels / first) else rounded channels)

    /// <summary>Multiplies the number of blocks of each stage by a factor, rounded, at least 1, and numbers their keys anew.</summary>
    /// <remarks>A stage is a block that changes the map and the blocks that repeat after it; it is extended by copies of its last block.</remarks>
    let withDepth factor (net: NetSpec) = { net with Blocks = Depth.scale factor net.Blocks }

/// <summary>The names of a network's choices, as the tool and the logs write them.</summary>
[<RequireQualifiedAccess>]
module Names =
    /// <summary>The gradient of a sign as the tool takes it.</summary>
    let sign gradient =
        match gradient with
        | SignGradient.ApproxSign -> "approx-sign"
        | SignGradient.StraightThrough bound -> $"ste:{bound}"
        | SignGradient.SigmoidDerivative k -> $"sigmoid:{k}"
        | SignGradient.SwishSign beta -> $"swish:{beta}"
        | SignGradient.AnnealedTanh(first, last) -> $"tanh from {first} to {last}"
        | SignGradient.Custom name -> name


    let norm =
        function
        | BatchNorm -> "batch-norm"
        | NoNorm -> "none"
        | BnFree _ -> "bn-free"
        | Scaled _ -> "scaled"

    let binarise =
        function
        | Activations -> "activations"
        | ActivationsAndWeights -> "activations+weights"

    /// <summary>The name of the stage that trains such a network; None is a full-precision one.</summary>
    let stage =
        function
        | Some(weights: Binarise) -> binarise weights
        | None -> "full-precision"

    /// <summary>The name of the stage that trains this network.</summary>
    let stageOf net = Net.tryBinary net |> Option.map _.Binarise |> stage

    let expectedVariance =
        function
        | ExpectedVariance.Published -> "published"
        | ExpectedVariance.Corrected -> "corrected"
        | ExpectedVariance.Measured _ -> "measured"

    let binaryGain =
        function
        | BinaryGain.One -> "1"
        | BinaryGain.VariancePreserving -> "√(π/2)"

    let weights =
        function
        | WeightBinariser.Binary -> "binary"
        | WeightBinariser.PlainSign -> "plain-sign"
        | WeightBinariser.ZeroMean -> "zero-mean"
        | WeightBinariser.Real -> "real"

    let slopes =
        function
        | SlopeKind.Real -> "real"
        | SlopeKind.PowerOfTwo -> "power-of-two"
