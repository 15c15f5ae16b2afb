namespace NormFree.Spec

open System.Text.Json.Serialization

/// <summary>Factors for a table's channels and layers. Channels are rounded to multiples of 8.</summary>
type Size =
    { Width: float
      Depth: float }

    static member Full = { Width = 1.0; Depth = 1.0 }

/// <summary>The image size that the stem is designed for.</summary>
type StemKind =
    /// 224×224: the stem downsamples.
    | [<JsonPropertyName "imagenet">] ImageNetStem
    /// 32×32: the stem preserves the map's size. The published code never uses it (deviation 1 of the method).
    | [<JsonPropertyName "cifar">] CifarStem

/// A stage of a table. Its first block has the stride, the others have stride 1.
type private Stage = { Channels: int; Stride: int; Blocks: int }

module private Stages =

    let channels (size: Size) (full: int) = max 8 (8 * int (round (float full * size.Width / 8.0)))

    let scale (size: Size) stages =
        stages
        |> List.map (fun (channels, stride, blocks) ->
            { Channels = channels; Stride = stride; Blocks = max 1 (int (round (float blocks * size.Depth))) })

    /// The blocks of all stages in order. Stages count from 1, blocks from 0.
    let blocks first stages =
        let inputs = first :: (stages |> List.map _.Channels)

        [ for number, (stage, input) in List.indexed (List.zip stages (List.take stages.Length inputs)) do
              for block in 0 .. stage.Blocks - 1 do
                  let isFirst = block = 0

                  {| Stage = number + 1
                     Block = block
                     In = if isFirst then input else stage.Channels
                     Out = stage.Channels
                     Stride = if isFirst then stage.Stride else 1 |} ]

    /// The 64-channel stem of the ResNet family.
    let stem channels kind =
        match kind with
        | ImageNetStem -> { Key = ""; Kernel = 7; Stride = 2; Channels = channels; MaxPool = true }
        | CifarStem -> { Key = ""; Kernel = 3; Stride = 1; Channels = channels; MaxPool = false }

/// <summary>The binary networks: the paper's ReActNet-18 and ReActNet-A, and a small one for quick runs.</summary>
/// <remarks>
/// Liu et al., "ReActNet" (ECCV 2020); Chen et al., "BNN − BN = ?" (CVPRW 2021). Each table is bn-free, with binary activations and
/// 1000 classes; <c>Net.withNorm</c>, <c>Net.withBinarise</c> and <c>Net.withClasses</c> change that.
/// </remarks>
[<RequireQualifiedAccess>]
module ReActNet =

    let private names18 =
        { ShiftBefore = "move0"
          Convolutions = [ "binary_conv" ]
          Norms = [ "bn1" ]
          ShiftIn = "move1"
          Slope = "prelu"
          ShiftOut = "move2" }

    let private names3x3 =
        { ShiftBefore = "move11"
          Convolutions = [ "binary_3x3" ]
          Norms = [ "bn1" ]
          ShiftIn = "move12"
          Slope = "prelu1"
          ShiftOut = "move13" }

    let private namesPointwise =
        { ShiftBefore = "move21"
          Convolutions = [ "binary_pw" ]
          Norms = [ "bn2" ]
          ShiftIn = "move22"
          Slope = "prelu2"
          ShiftOut = "move23" }

    let private namesDoubling =
        { namesPointwise with
            Convolutions = [ "binary_pw_down1"; "binary_pw_down2" ]
            Norms = [ "bn2_1"; "bn2_2" ] }

    let private bnFree layers =
        Binary
            { Layers = layers
              Norm = BnFree 0.2
              Binarise = Activations
              ExpectedVariance = ExpectedVariance.Published
              BinaryGain = BinaryGain.One
              ShortcutWeights = ShortcutWeights.Binary }

    /// One 3×3 layer per block. In the published code, the first layer of a stage does not add to the expected variance.
    let private layers18 first stages =
        [ for block in Stages.blocks first stages do
              let downsamples = block.Stride = 2

              { Key = $"layer{block.Stage}.{block.Block}"
                Names = names18
                Kernel = 3
                In = block.In
                Out = block.Out
                Stride = block.Stride
                Shortcut = if downsamples then PoolProject else Identity
                Variance =
                  if downsamples then Restart
                  elif block.Block = 0 then Keep
                  else Accumulate } ]

    /// A 3×3 layer, then a 1×1 layer. In the published code, the variance resets after a whole stride-2 block, not inside it.
    let private blockA index input output stride =
        let key, doubles = $"feature.{index}", output <> input

        [ { Key = key
            Names = names3x3
            Kernel = 3
            In = input
            Out = input
            Stride = stride
            Shortcut = if stride = 2 then Pool else Identity
            Variance = Accumulate }
          { Key = key
            Names = if doubles then namesDoubling else namesPointwise
            Kernel = 1
            In = input
            Out = output
            Stride = 1
            Shortcut = if doubles then Duplicate else Identity
            Variance = if stride = 2 then Restart else Accumulate } ]

    let private layersA first stages =
        Stages.blocks first stages
        |> List.mapi (fun i block -> blockA (i + 1) block.In block.Out block.Stride)
        |> List.concat

    /// <summary>ReActNet-18: four stages of four 3×3 layers, 64 to 512 channels.</summary>
    let reactNet18 (size: Size) (stem: StemKind) =
        let first = Stages.channels size 64

        let stages =
            [ 64, 1, 4; 128, 2, 4; 256, 2, 4; 512, 2, 4 ]
            |> List.map (fun (channels, stride, blocks) -> first * (channels / 64), stride, blocks)
            |> Stages.scale size

        { Name = "reactnet-18"
          Stem = Stages.stem first stem
          Body = bnFree (layers18 first stages)
          Classes = 1000 }

    /// <summary>ReActNet-A: 13 blocks of a 3×3 and a 1×1 layer on MobileNet's table, 32 to 1024 channels.</summary>
    /// <remarks>The paper has no stem for small images; here it is the same stem with stride 1.</remarks>
    let reactNetA (size: Size) (stem: StemKind) =
        let first = Stages.channels size 32

        let stages =
            [ 64, 1, 1; 128, 2, 2; 256, 2, 2; 512, 2, 6; 1024, 2, 2 ]
            |> List.map (fun (channels, stride, blocks) -> first * (channels / 32), stride, blocks)
            |> Stages.scale size

        { Name = "reactnet-a"
          Stem =
            { Key = "feature.0."
              Kernel = 3
              Stride = (if stem = ImageNetStem then 2 else 1)
              Channels = first
              MaxPool = false }
          Body = bnFree (layersA first stages)
          Classes = 1000 }

    /// <summary>Nine 3×3 layers of 24 to 96 channels in ReActNet-18's layout, after a stem of stride 2. Trains in seconds on 32×32 images.</summary>
    let reactNetSmall (size: Size) (stem: StemKind) =
        let first = Stages.channels size 24

        let stages = [ first, 1, 3; first * 2, 2, 3; first * 4, 2, 3 ] |> Stages.scale size

        { Name = "reactnet-small"
          Stem = { Stages.stem first stem with Kernel = 3; Stride = 2 }
          Body = bnFree (layers18 first stages)
          Classes = 1000 }

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNet18"/> in full size with the ImageNet stem.</summary>
    let r18 = reactNet18 Size.Full ImageNetStem

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNet18"/> in full size with the CIFAR stem and 10 classes.</summary>
    let cifar18 = { reactNet18 Size.Full CifarStem with Classes = 10 }

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNetA"/> in full size with the ImageNet stem.</summary>
    let a = reactNetA Size.Full ImageNetStem

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNetSmall"/> in full size.</summary>
    let small = reactNetSmall Size.Full CifarStem

/// <summary>Teachers: full-precision ResNets with torchvision's layout and parameter names.</summary>
/// <remarks>He et al., "Deep residual learning for image recognition" (CVPR 2016).</remarks>
[<RequireQualifiedAccess>]
module ResNet =

    let private build name blocks (size: Size) (stem: StemKind) =
        let first = Stages.channels size 64

        let stages =
            List.zip [ 1; 2; 4; 8 ] blocks
            |> List.mapi (fun i (factor, blocks) -> first * factor, (if i = 0 then 1 else 2), blocks)
            |> Stages.scale size

        { Name = name
          Stem = Stages.stem first stem
          Body =
            FullPrecision
                [ for block in Stages.blocks first stages do
                      { Key = $"layer{block.Stage}.{block.Block}"
                        In = block.In
                        Out = block.Out
                        Stride = block.Stride } ]
          Classes = 1000 }

    /// <summary>torchvision's <c>resnet18</c>.</summary>
    let resNet18 size stem = build "resnet-18" [ 2; 2; 2; 2 ] size stem

    /// <summary>torchvision's <c>resnet34</c>.</summary>
    let resNet34 size stem = build "resnet-34" [ 3; 4; 6; 3 ] size stem

    /// <summary><see cref="M:NormFree.Spec.ResNet.resNet18"/> in full size with the ImageNet stem.</summary>
    let r18 = resNet18 Size.Full ImageNetStem

    /// <summary><see cref="M:NormFree.Spec.ResNet.resNet34"/> in full size with the ImageNet stem.</summary>
    let r34 = resNet34 Size.Full ImageNetStem

/// <summary>The tables by name.</summary>
[<RequireQualifiedAccess>]
module Architecture =

    /// <summary>Every architecture's name and table.</summary>
    let all =
        [ "reactnet-18", ReActNet.reactNet18
          "reactnet-a", ReActNet.reactNetA
          "reactnet-small", ReActNet.reactNetSmall
          "resnet-18", ResNet.resNet18
          "resnet-34", ResNet.resNet34 ]

    /// <summary>The table with this name, if there is one.</summary>
    let tryFind name = all |> List.tryPick (fun (known, table) -> if known = name then Some table else None)
