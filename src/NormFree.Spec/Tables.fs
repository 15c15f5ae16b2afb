namespace NormFree.Spec

/// <summary>Factors for a table's channels and blocks (<see cref="M:NormFree.Spec.Net.withWidth"/>, <see cref="M:NormFree.Spec.Net.withDepth"/>).</summary>
type Size =
    { Width: float
      Depth: float }

    static member Full = { Width = 1.0; Depth = 1.0 }

/// <summary>A block of a stage: its key, channels and stride. The first block of a stage has the stage's stride, the others have stride 1.</summary>
type StageBlock = { Key: string; In: int; Out: int; Stride: int; IsFirst: bool }

/// <summary>The blocks of networks that are built in stages.</summary>
[<RequireQualifiedAccess>]
module Stages =

    /// <summary>One block for each of a stage's blocks. <c>stages</c> lists channels, number of blocks and stride; <c>first</c> is the number of the
    /// stem's channels. Keys are layer1.0, layer1.1, … as in torchvision.</summary>
    let blocks first stages (block: StageBlock -> 'block) : 'block list =
        let inputs = first :: [ for channels, _, _ in stages -> channels ]

        [ for number, ((channels, count, stride), input) in
              List.indexed (List.zip stages (List.take (List.length stages) inputs)) do
              for index in 0 .. count - 1 ->
                  let isFirst = (index = 0)

                  block
                      { Key = $"layer{number + 1}.{index}"
                        In = if isFirst then input else channels
                        Out = channels
                        Stride = if isFirst then stride else 1
                        IsFirst = isFirst } ]

module private Sized =

    /// The table in this size.
    let net (size: Size) net = net |> Net.withDepth size.Depth |> Net.withWidth size.Width

    /// A network for which nothing BN-free is published: it uses NF-ResNet's rule.
    let corrected size name blocks =
        Net.create name blocks |> Net.withExpectedVariance ExpectedVariance.Corrected |> net size

    let imageNetStages = [ 64, 4, 1; 128, 4, 2; 256, 4, 2; 512, 4, 2 ]
    let imageNetStages34 = [ 64, 6, 1; 128, 8, 2; 256, 12, 2; 512, 6, 2 ]

    let project weights = { Name = "downsample.1"; Norm = "downsample.2"; Weights = weights }

/// <summary>The paper's networks, ReActNet-18 and ReActNet-A, and relatives.</summary>
/// <remarks>Liu et al., "ReActNet" (ECCV 2020); Chen et al., "BNN − BN = ?" (CVPRW 2021).</remarks>
[<RequireQualifiedAccess>]
module ReActNet =

    let private rprelu shiftIn slope shiftOut =
        Part.Activation(
            Activation.RPReLU { ShiftIn = $"{shiftIn}.bias"; Slope = $"{slope}.weight"; ShiftOut = $"{shiftOut}.bias" }
        )

    /// y = RPReLU(α·N(w ∗ sign(β·x + b)) + shortcut(x)). In the published code, the first layer of a stage does not add to the expected variance.
    let private layer18 weights (stage: StageBlock) =
        let downsamples = stage.Stride = 2

        let shortcut =
            if downsamples then
                Shortcut.AveragePoolProject(Sized.project weights)
            else
                Shortcut.Identity

        [ Part.Binary { Parts.binary "binary_conv" 3 stage.Stride stage.Out with Shift = Some "move0.bias" }
          Parts.norm "bn1" ]
        |> Blocks.residual stage.Key shortcut
        |> Blocks.andThen [ rprelu "move1" "prelu" "move2" ]
        |> fun block ->
            { block with
                Variance =
                    (if downsamples then Restart
                     elif stage.IsFirst then Keep
                     else Accumulate) }

    let private build18 name weights stages (size: Size) kind =
        [ Stem.resNet 64 kind; yield! Stages.blocks 64 stages (layer18 weights); Classifier.pooled ]
        |> Net.create name
        |> Sized.net size

    /// <summary>ReActNet-18: four stages of four 3×3 layers, 64 to 512 channels. Its shortcuts become binary in stage 2, as in the paper's code.</summary>
    let reactNet18 size kind = build18 "reactnet-18" WeightBinariser.Binary Sized.imageNetStages size kind

    /// <summary>ReActNet-18 with real shortcuts in both stages, as in ReActNet's code.</summary>
    let reactNet18RealShortcuts size kind =
        build18 "reactnet-18:real-shortcuts" WeightBinariser.Real Sized.imageNetStages size kind

    /// <summary>ReActNet-34: ReActNet-18's layer, 6, 8, 12 and 6 times.</summary>
    let reactNet34 size kind = build18 "reactnet-34" WeightBinariser.Binary Sized.imageNetStages34 size kind

    /// <summary>Nine 3×3 layers of 24 to 96 channels in ReActNet-18's layout, after a stem of stride 2. Trains in seconds on 32×32 images.</summary>
    let reactNetSmall size kind =
        let stem =
            Blocks.plain
                ""
                [ Parts.conv "conv1" 3 2 24
                  Parts.norm "bn1"
                  if kind = ImageNetStem then
                      Part.MaxPool(3, 2, 1) ]

        [ stem
          yield! Stages.blocks 24 [ 24, 3, 1; 48, 3, 2; 96, 3, 2 ] (layer18 WeightBinariser.Binary)
          Classifier.pooled ]
        |> Net.create "reactnet-small"
        |> Sized.net size

    let private spatialA key input stride =
        [ Part.Binary { Parts.binary "binary_3x3" 3 stride input with Shift = Some "move11.bias" }
          Parts.norm "bn1" ]
        |> Blocks.residual key (if stride = 2 then Shortcut.AveragePool else Shortcut.Identity)
        |> Blocks.andThen [ rprelu "move12" "prelu1" "move13" ]
        |> fun block -> { block with Variance = Accumulate }

    /// In the published code, the variance resets after a whole stride-2 block, not inside it.
    let private pointwiseA key doubles output stride =
        let convolutions, norms =
            if doubles then
                [ "binary_pw_down1"; "binary_pw_down2" ], [ "bn2_1"; "bn2_2" ]
            else
                [ "binary_pw" ], [ "bn2" ]

        [ Part.Binary { Parts.binary "" 1 1 output with Convolutions = convolutions; Shift = Some "move21.bias" }
          Part.Norm norms ]
        |> Blocks.residual key (if doubles then Shortcut.Duplicate else Shortcut.Identity)
        |> Blocks.andThen [ rprelu "move22" "prelu2" "move23" ]
        |> fun block -> { block with Variance = (if stride = 2 then Restart else Accumulate) }

    /// <summary>ReActNet-A: 13 blocks of a 3×3 and a 1×1 layer on MobileNet's table, 32 to 1024 channels.</summary>
    /// <remarks>The paper has no stem for small images; here it is the same stem with stride 1.</remarks>
    let reactNetA size kind =
        let blocks = Stages.blocks 32 [ 64, 1, 1; 128, 2, 2; 256, 2, 2; 512, 6, 2; 1024, 2, 2 ] id
        let stem = [ Parts.conv "conv1" 3 (if kind = ImageNetStem then 2 else 1) 32; Parts.norm "bn1" ]

        [ Blocks.plain "feature.0" stem
          for index, block in List.indexed blocks do
              spatialA $"feature.{index + 1}" block.In block.Stride
              pointwiseA $"feature.{index + 1}" (block.Out <> block.In) block.Out block.Stride
          Classifier.pooled ]
        |> Net.create "reactnet-a"
        |> Sized.net size

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNet18"/> in full size with the ImageNet stem.</summary>
    let r18 = reactNet18 Size.Full ImageNetStem

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNet18"/> in full size for 32×32 images, with 10 classes.</summary>
    let cifar18 = reactNet18 Size.Full CifarStem |> Net.withClasses 10

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNetA"/> in full size with the ImageNet stem.</summary>
    let a = reactNetA Size.Full ImageNetStem

    /// <summary><see cref="M:NormFree.Spec.ReActNet.reactNetSmall"/> in full size.</summary>
    let small = reactNetSmall Size.Full CifarStem
