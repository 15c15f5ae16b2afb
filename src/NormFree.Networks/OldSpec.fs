namespace NormFree.Networks

open NormFree.Runs
open NormFree.Spec

/// Specs as versions before 0.3 wrote them: a network was a list of ReActNet's layers or of ResNet's blocks.
module private Old =

    type Shortcut =
        | Identity
        | Duplicate
        | Pool
        | PoolProject

    type VarianceStep =
        | Keep
        | Accumulate
        | Restart

    [<RequireQualifiedAccess>]
    type Weights =
        | Binary
        | ZeroMean
        | Real

    type Names =
        { ShiftBefore: string
          Convolutions: string list
          Norms: string list
          ShiftIn: string
          Slope: string
          ShiftOut: string }

    type Layer =
        { Key: string
          Names: Names
          Kernel: int
          In: int
          Out: int
          Stride: int
          Shortcut: Shortcut
          Variance: VarianceStep }

    type ResidualBlock = { Key: string; In: int; Out: int; Stride: int }

    type Stem = { Key: string; Kernel: int; Stride: int; Channels: int; MaxPool: bool }

    type BinaryBody =
        { Layers: Layer list
          Norm: Norm
          Binarise: Binarise
          ExpectedVariance: ExpectedVariance
          BinaryGain: BinaryGain
          ShortcutWeights: Weights }

    [<RequireQualifiedAccess>]
    type Body =
        | Binary of BinaryBody
        | FullPrecision of ResidualBlock list

    type Spec = { Name: string; Stem: Stem; Body: Body; Classes: int }

/// <summary>Reads specs, those of earlier versions too.</summary>
[<RequireQualifiedAccess>]
module internal OldSpec =

    let private stem isBinary (stem: Old.Stem) =
        Blocks.plain
            (stem.Key.TrimEnd '.')
            [ Parts.conv "conv1" stem.Kernel stem.Stride stem.Channels
              Parts.norm "bn1"
              if not isBinary then
                  Parts.relu
              if stem.MaxPool then
                  Part.MaxPool(3, 2, 1) ]

    let private weights old =
        match old with
        | Old.Weights.Binary -> WeightBinariser.Binary
        | Old.Weights.ZeroMean -> WeightBinariser.ZeroMean
        | Old.Weights.Real -> WeightBinariser.Real

    let private shortcut ofProjection old =
        match old with
        | Old.Identity -> Shortcut.Identity
        | Old.Duplicate -> Shortcut.Duplicate
        | Old.Pool -> Shortcut.AveragePool
        | Old.PoolProject ->
            Shortcut.AveragePoolProject { Name = "downsample.1"; Norm = "downsample.2"; Weights = weights ofProjection }

    let private variance old =
        match old with
        | Old.Keep -> Keep
        | Old.Accumulate -> Accumulate
        | Old.Restart -> Restart

    let private layer ofProjection (layer: Old.Layer) =
        let names = layer.Names

        let conv =
            { Parts.binary "" layer.Kernel layer.Stride layer.Out with
                Convolutions = names.Convolutions
                Shift = Some $"{names.ShiftBefore}.bias" }

        let activation =
            Activation.RPReLU
                { ShiftIn = $"{names.ShiftIn}.bias"
                  Slope = $"{names.Slope}.weight"
                  ShiftOut = $"{names.ShiftOut}.bias" }

        { Blocks.residual layer.Key (shortcut ofProjection layer.Shortcut) [ Part.Binary conv; Part.Norm names.Norms ] with
            After = [ Part.Activation activation ]
            Variance = variance layer.Variance }

    let private ofOld (old: Old.Spec) : NetSpec =
        let create isBinary body =
            Net.create old.Name [ stem isBinary old.Stem; yield! body; Classifier.pooled ]
            |> Net.withClasses old.Classes

        match old.Body with
        | Old.Body.FullPrecision blocks ->
            let block (block: Old.ResidualBlock) =
                ResNet.block { Key = block.Key; In = block.In; Out = block.Out; Stride = block.Stride; IsFirst = false }

            create false (List.map block blocks) |> Net.withNorm BatchNorm
        | Old.Body.Binary body ->
            { create true (List.map (layer body.ShortcutWeights) body.Layers) with
                Norm = body.Norm
                Binarise = body.Binarise
                ExpectedVariance = body.ExpectedVariance
                BinaryGain = body.BinaryGain }

    /// The first versions had binary shortcuts only.
    let private laterFields = [ "ExpectedVariance", "ShortcutWeights", Json.write WeightBinariser.Binary ]

    let private isOld (text: string) = text.Contains "\"Body\""

    /// <summary>The spec in a JSON text, or the error.</summary>
    let read (text: string) : Result<NetSpec, string> =
        if isOld text then
            text |> Json.withDefaults laterFields |> Result.bind Json.read<Old.Spec> |> Result.map ofOld
        else
            Json.read<NetSpec> text
