namespace NormFree.Spec

/// <summary>Lowers a spec to a graph of operations. Only this module interprets <c>Norm</c> and <c>Binarise</c>.</summary>
[<RequireQualifiedAccess>]
module Lowering =

    /// What a network's norm and binarisation mean for each layer.
    type private Rules =
        { Alpha: float
          Standardised: bool
          HasNorm: bool
          Weight: OperandPrecision
          Factor: float
          ShortcutWeights: ShortcutWeights }

    let private rules body =
        let weight =
            match body.Binarise with
            | Activations -> Real
            | ActivationsAndWeights -> OneBit

        let factor =
            match weight, body.BinaryGain with
            | OneBit, BinaryGain.VariancePreserving -> sqrt (System.Math.PI / 2.0)
            | _ -> 1.0

        let plain =
            { Alpha = 1.0
              Standardised = false
              HasNorm = false
              Weight = weight
              Factor = 1.0
              ShortcutWeights = body.ShortcutWeights }

        match body.Norm with
        | BatchNorm -> { plain with HasNorm = true }
        | NoNorm -> plain
        | BnFree alpha -> { plain with Alpha = alpha; Standardised = true; Factor = factor }
        // The factor restores the variance that a standardised filter loses to binarisation; these filters are not standardised.
        | Scaled alpha -> { plain with Alpha = alpha }

    let private betas body =
        match body.Norm with
        | BatchNorm
        | NoNorm -> body.Layers |> List.map (fun _ -> 1.0)
        | BnFree alpha
        | Scaled alpha -> Variance.expected body.ExpectedVariance alpha body.Layers |> List.map (fun v -> 1.0 / sqrt v)

    /// A multiplication by 1 is omitted.
    let private scale factor =
        [ if factor <> 1.0 then
              Op(Scale factor) ]

    let private norm (rules: Rules) key channels =
        [ if rules.HasNorm then
              Op(Normalise(key, channels)) ]

    let private convolve (rules: Rules) key input (kernel, stride) (from, into) =
        Op(
            Convolve
                { Key = key
                  In = from
                  Out = into
                  Kernel = kernel
                  Stride = stride
                  Padding = kernel / 2
                  Standardised = rules.Standardised
                  Input = input
                  Weight = rules.Weight
                  Factor = rules.Factor }
        )

    let private rprelu (layer: BinaryLayer) =
        Op(
            RPReLU
                { ShiftIn = $"{layer.Key}.{layer.Names.ShiftIn}.bias"
                  Slope = $"{layer.Key}.{layer.Names.Slope}.weight"
                  ShiftOut = $"{layer.Key}.{layer.Names.ShiftOut}.bias"
                  Channels = layer.Out }
        )

    /// α·N(w ∗ sign(β·x + b)), with two parallel convolutions if the layer names two.
    let private branch rules beta (layer: BinaryLayer) =
        let outputs = layer.Out / layer.Names.Convolutions.Length

        let convolutions =
            [ for conv, norm' in List.zip layer.Names.Convolutions layer.Names.Norms ->
                  let weights =
                      convolve rules $"{layer.Key}.{conv}" OneBit (layer.Kernel, layer.Stride) (layer.In, outputs)

                  Chain(weights :: norm rules $"{layer.Key}.{norm'}" outputs) ]

        Chain
            [ yield! scale beta
              Op(Shift($"{layer.Key}.{layer.Names.ShiftBefore}.bias", layer.In))
              Op Sign
              match convolutions with
              | [ single ] -> single
              | several -> Parallel several
              yield! scale rules.Alpha ]

    let private realWeights (rules: Rules) = { rules with Weight = Real; Factor = 1.0 }

    /// A shortcut's 1×1 convolution. In stage 1, its weights are real in every case.
    let private project (rules: Rules) key channels =
        match rules.Weight, rules.ShortcutWeights with
        | Real, _
        | OneBit, ShortcutWeights.Binary -> [ convolve rules key Real (1, 1) channels ]
        | OneBit, ShortcutWeights.ZeroMean -> [ Op CenterChannels; convolve rules key Real (1, 1) channels ]
        | OneBit, ShortcutWeights.Real -> [ convolve (realWeights rules) key Real (1, 1) channels ]

    /// A downsampling shortcut takes β·x, the others take x.
    let private shortcut rules beta (layer: BinaryLayer) =
        match layer.Shortcut with
        | Identity -> Chain []
        | Duplicate -> Parallel [ Chain []; Chain [] ]
        | Pool -> Chain [ yield! scale beta; Op(AveragePool 2) ]
        | PoolProject ->
            Chain
                [ yield! scale beta
                  Op(AveragePool 2)
                  yield! project rules $"{layer.Key}.downsample.1" (layer.In, layer.Out)
                  yield! norm rules $"{layer.Key}.downsample.2" layer.Out ]

    let private binaryLayer rules beta layer =
        Chain [ Residual(branch rules beta layer, shortcut rules beta layer); rprelu layer ]

    let private stem rules (stem: Stem) =
        [ convolve (realWeights rules) $"{stem.Key}conv1" Real (stem.Kernel, stem.Stride) (3, stem.Channels)
          yield! norm rules $"{stem.Key}bn1" stem.Channels ]

    let private maxPool (stem: Stem) =
        [ if stem.MaxPool then
              Op(MaxPool(3, 2, 1)) ]

    let private head net channels = [ Op GlobalAveragePool; Op(Linear("fc", channels, net.Classes)) ]

    let private fullPrecision =
        { Alpha = 1.0
          Standardised = false
          HasNorm = true
          Weight = Real
          Factor = 1.0
          ShortcutWeights = ShortcutWeights.Real }

    /// relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut(x)).
    let private residualBlock (block: ResidualBlock) =
        let conv name kernel stride from =
            convolve fullPrecision $"{block.Key}.{name}" Real (kernel, stride) (from, block.Out)

        let norm name = norm fullPrecision $"{block.Key}.{name}" block.Out

        let branch =
            Chain
                [ conv "conv1" 3 block.Stride block.In
                  yield! norm "bn1"
                  Op ReLU
                  conv "conv2" 3 1 block.Out
                  yield! norm "bn2" ]

        let shortcut =
            if block.Stride = 1 && block.In = block.Out then
                Chain []
            else
                Chain [ conv "downsample.0" 1 block.Stride block.In; yield! norm "downsample.1" ]

        Chain [ Residual(branch, shortcut); Op ReLU ]

    let private layerName (layer: BinaryLayer) = $"{layer.Key}.{List.head layer.Names.Convolutions}"

    /// <summary>
    /// The network's named parts in order: stem, layers, head. The spec must be valid
    /// (<see cref="M:NormFree.Spec.Validation.validate"/>).
    /// </summary>
    let parts (net: NetSpec) : (string * Graph) list =
        match net.Body with
        | Binary body ->
            let rules = rules body

            [ yield $"{net.Stem.Key}conv1", Chain(stem rules net.Stem @ maxPool net.Stem)
              for beta, layer in List.zip (betas body) body.Layers do
                  yield layerName layer, binaryLayer rules beta layer
              yield "fc", Chain(head net (List.last body.Layers).Out) ]
        | FullPrecision blocks ->
            [ yield $"{net.Stem.Key}conv1", Chain(stem fullPrecision net.Stem @ [ Op ReLU ] @ maxPool net.Stem)
              for block in blocks do
                  yield block.Key, residualBlock block
              yield "fc", Chain(head net (List.last blocks).Out) ]

    /// <summary>The whole network as one graph.</summary>
    let lower net = parts net |> List.map snd |> Chain
