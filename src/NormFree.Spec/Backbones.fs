namespace NormFree.Spec

/// <summary>Teachers: full-precision ResNets with torchvision's layout and parameter names.</summary>
/// <remarks>He et al., "Deep residual learning for image recognition" (CVPR 2016).</remarks>
[<RequireQualifiedAccess>]
module ResNet =

    /// <summary>A basic block: two 3×3 convolutions and a shortcut.</summary>
    let block (stage: StageBlock) =
        let project = { Name = "downsample.0"; Norm = "downsample.1"; Weights = WeightBinariser.Real }
        let keeps = stage.Stride = 1 && stage.In = stage.Out

        [ Parts.conv "conv1" 3 stage.Stride stage.Out
          Parts.norm "bn1"
          Parts.relu
          Parts.conv "conv2" 3 1 stage.Out
          Parts.norm "bn2" ]
        |> Blocks.residual stage.Key (if keeps then Shortcut.Identity else Shortcut.Project project)
        |> Blocks.andThen [ Parts.relu ]

    let private build name counts (size: Size) kind =
        let stem =
            match Stem.parts 64 kind with
            | conv :: norm :: pool -> Blocks.plain "" (conv :: norm :: Parts.relu :: pool)
            | parts -> Blocks.plain "" parts

        let stages = List.zip3 [ 64; 128; 256; 512 ] counts [ 1; 2; 2; 2 ]

        [ stem; yield! Stages.blocks 64 stages block; Classifier.pooled ]
        |> Net.create name
        |> Net.withNorm BatchNorm
        |> Sized.net size

    /// <summary>torchvision's <c>resnet18</c>.</summary>
    let resNet18 size kind = build "resnet-18" [ 2; 2; 2; 2 ] size kind

    /// <summary>torchvision's <c>resnet34</c>.</summary>
    let resNet34 size kind = build "resnet-34" [ 3; 4; 6; 3 ] size kind

    /// <summary><see cref="M:NormFree.Spec.ResNet.resNet18"/> in full size with the ImageNet stem.</summary>
    let r18 = resNet18 Size.Full ImageNetStem

    /// <summary><see cref="M:NormFree.Spec.ResNet.resNet34"/> in full size with the ImageNet stem.</summary>
    let r34 = resNet34 Size.Full ImageNetStem

/// <summary>Bi-Real Net: y = α·N(w ∗ sign(β·x)) + shortcut(x), with real shortcuts.</summary>
/// <remarks>Liu et al., "Bi-Real Net" (ECCV 2018).</remarks>
[<RequireQualifiedAccess>]
module BiRealNet =

    let private layer (stage: StageBlock) =
        [ Part.Binary(Parts.binary "binary_conv" 3 stage.Stride stage.Out); Parts.norm "bn1" ]
        |> Blocks.residual
            stage.Key
            (if stage.Stride = 2 then
                 Shortcut.AveragePoolProject(Sized.project WeightBinariser.Real)
             else
                 Shortcut.Identity)

    let private build name stages size kind =
        [ Stem.resNet 64 kind; yield! Stages.blocks 64 stages layer; Classifier.pooled ]
        |> Sized.corrected size name

    /// <summary>Bi-Real Net-18: four stages of four layers, 64 to 512 channels.</summary>
    let biReal18 size kind = build "bireal-18" Sized.imageNetStages size kind

    /// <summary>Bi-Real Net-34: stages of 6, 8, 12 and 6 layers.</summary>
    let biReal34 size kind = build "bireal-34" Sized.imageNetStages34 size kind

/// <summary>VGG-Small: six convolutions without shortcuts, the first one real; 32×32 images with the CIFAR stem.</summary>
/// <remarks>Hubara et al., "Binarized neural networks" (NeurIPS 2016); half as wide, with one linear layer, as in Zhang et al., "LQ-Nets" (ECCV 2018).</remarks>
[<RequireQualifiedAccess>]
module VggSmall =

    let private layer number (outputs, pools) =
        let conv = { Parts.binary $"conv{number}" 3 1 outputs with Sign = SignGradient.StraightThrough 1.0 }

        Blocks.plain
            ""
            [ Part.Binary conv
              if pools then
                  Parts.maxPool2
              Parts.norm $"bn{number}"
              Parts.hardTanh ]

    /// <summary>VGG-Small: 128, 128, 256, 256, 512 and 512 channels.</summary>
    let vggSmall (size: Size) kind =
        let first, side =
            match kind with
            | CifarStem -> [ Parts.conv "conv0" 3 1 128 ], 4
            | ImageNetStem -> [ Parts.conv "conv0" 7 2 128; Part.MaxPool(3, 2, 1) ], 7

        [ Blocks.plain "" (first @ [ Parts.norm "bn0"; Parts.hardTanh ])
          yield! [ 128, true; 256, false; 256, true; 512, false; 512, true ] |> List.mapi (fun i -> layer (i + 1))
          Classifier.flat side ]
        |> Sized.corrected size "vgg-small"

/// <summary>BinaryDenseNet: dense blocks x → [x, w ∗ sign(N(x))] with real transitions.</summary>
/// <remarks>Bethge et al., "Back to simplicity: how to train accurate BNNs from scratch?" (2019).</remarks>
[<RequireQualifiedAccess>]
module BinaryDenseNet =

    let private layer growth index =
        let conv = { Parts.binary "conv" 3 1 growth with Sign = SignGradient.StraightThrough 1.0 }
        Blocks.dense $"features.{index}" [ Parts.norm "bn"; Part.Binary conv ]

    let private transition outputs index =
        Blocks.plain $"features.{index}" [ Parts.norm "bn"; Parts.maxPool2; Parts.relu; Parts.conv "conv" 1 1 outputs ]

    /// The blocks of all stages, given the number of channels and of blocks before them.
    let rec private stages growth channels index layers reductions =
        match layers, reductions with
        | [], _ -> []
        | count :: layers, reductions ->
            let channels = channels + count * growth
            let blocks = [ for i in 0 .. count - 1 -> layer growth (index + i) ]

            match layers, reductions with
            | _ :: _, (reduction: float) :: reductions ->
                let outputs = 32 * int (round (float channels / reduction / 32.0))

                blocks
                @ transition outputs (index + count) :: stages growth outputs (index + count + 1) layers reductions
            | _ -> blocks

    /// <summary>A BinaryDenseNet of these channels and layers per stage. Each transition divides the channels by a reduction, to a multiple of 32.</summary>
    let table name channels growth layers reductions kind =
        let stem =
            match kind with
            | CifarStem -> [ Parts.conv "conv1" 3 1 channels ]
            | ImageNetStem -> [ Parts.conv "conv1" 7 2 channels; Part.MaxPool(3, 2, 1) ]

        [ Blocks.plain "" stem
          yield! stages growth channels 0 layers reductions
          Blocks.plain "" [ Parts.norm "bn"; Parts.relu; Part.GlobalAveragePool; Part.Linear "fc" ] ]
        |> Sized.corrected Size.Full name

    /// <summary>BinaryDenseNet-28: stages of 6, 6, 6 and 5 layers of growth 64.</summary>
    let denseNet28 size kind = table "binary-densenet-28" 64 64 [ 6; 6; 6; 5 ] [ 2.7; 2.7; 2.2 ] kind |> Sized.net size

/// <summary>A ResNet-18 with the norm before the sign, as in XNOR-Net, and real shortcuts.</summary>
/// <remarks>Rastegari et al., "XNOR-Net" (ECCV 2016), section 3.2: norm, sign, convolution. The shortcut spans two convolutions.</remarks>
[<RequireQualifiedAccess>]
module XnorResNet =

    let private block (stage: StageBlock) =
        let keeps = stage.Stride = 1 && stage.In = stage.Out

        [ Parts.norm "bn1"
          Part.Binary(Parts.binary "conv1" 3 stage.Stride stage.Out)
          Parts.norm "bn2"
          Part.Binary(Parts.binary "conv2" 3 1 stage.Out) ]
        |> Blocks.residual
            stage.Key
            (if keeps then
                 Shortcut.Identity
             else
                 Shortcut.AveragePoolProject(Sized.project WeightBinariser.Real))

    /// <summary>Four stages of two blocks, 64 to 512 channels.</summary>
    let xnorResNet18 size kind =
        [ Stem.resNet 64 kind
          yield! Stages.blocks 64 [ 64, 2, 1; 128, 2, 2; 256, 2, 2; 512, 2, 2 ] block
          Blocks.plain "" [ Parts.norm "bn"; Parts.relu; Part.GlobalAveragePool; Part.Linear "fc" ] ]
        |> Sized.corrected size "xnor-resnet-18"

/// <summary>A binary multilayer perceptron: a real first layer, then layers of signs.</summary>
/// <remarks>After Hubara et al., "Binarized neural networks" (NeurIPS 2016), section 2. A dense layer is a 1×1 convolution on a map of one pixel.</remarks>
[<RequireQualifiedAccess>]
module BinaryMlp =

    let private layer number =
        let conv = { Parts.binary $"layer{number}" 1 1 1024 with Sign = SignGradient.StraightThrough 1.0 }
        Blocks.plain "" [ Part.Binary conv; Parts.norm $"bn{number}"; Parts.hardTanh ]

    /// <summary>Three layers of 1024 units. Images are 32×32; with the ImageNet stem 224×224, averaged to 32×32.</summary>
    let binaryMlp size kind =
        [ Blocks.plain
              ""
              [ if kind = ImageNetStem then
                    Part.AveragePool 7
                Part.Flatten 32
                Parts.conv "layer1" 1 1 1024
                Parts.norm "bn1"
                Parts.hardTanh ]
          layer 2
          layer 3
          Blocks.plain "" [ Part.Flatten 1; Part.Linear "fc" ] ]
        |> Sized.corrected size "binary-mlp"

/// <summary>QuickNet: residual binary layers with real depthwise-separable transitions.</summary>
/// <remarks>Bannink et al., "Larq Compute Engine" (MLSys 2021), section 5. Its blur-pool is a depthwise convolution of stride 2 here.</remarks>
[<RequireQualifiedAccess>]
module QuickNet =

    let private depthwise name stride channels =
        Part.Conv { Name = name; Out = channels; Kernel = 3; Stride = stride; Groups = channels }

    let private layer (stage: StageBlock) =
        let conv = { Parts.binary "conv" 3 1 stage.Out with Sign = SignGradient.StraightThrough 1.25 }
        Blocks.residual stage.Key Shortcut.Identity [ Part.Binary conv; Parts.relu; Parts.norm "bn" ]

    let private transition key input outputs =
        Blocks.plain
            $"transition.{key}"
            [ Parts.relu; depthwise "depthwise" 2 input; Parts.conv "pointwise" 1 1 outputs; Parts.norm "bn" ]

    let private stem kind =
        let stride = if kind = ImageNetStem then 2 else 1

        Blocks.plain
            "stem"
            [ Parts.conv "conv1" 3 stride 8
              Parts.norm "bn1"
              Parts.relu
              depthwise "depthwise" stride 8
              Parts.conv "pointwise" 1 1 64
              Parts.norm "bn2" ]

    /// <summary>QuickNet: four stages of four layers, 64 to 512 channels.</summary>
    let quickNet size kind =
        let stages = Stages.blocks 64 [ 64, 4, 1; 128, 4, 1; 256, 4, 1; 512, 4, 1 ] id

        [ stem kind
          for stage in stages do
              if stage.In <> stage.Out then
                  transition stage.Key stage.In stage.Out

              layer stage
          Blocks.plain "" [ Parts.relu; Part.GlobalAveragePool; Part.Linear "fc" ] ]
        |> Sized.corrected size "quicknet"

/// <summary>The tables by name.</summary>
[<RequireQualifiedAccess>]
module Architecture =

    /// <summary>Every architecture's name and table.</summary>
    let all =
        [ "reactnet-18", ReActNet.reactNet18
          "reactnet-18:real-shortcuts", ReActNet.reactNet18RealShortcuts
          "reactnet-34", ReActNet.reactNet34
          "reactnet-a", ReActNet.reactNetA
          "reactnet-small", ReActNet.reactNetSmall
          "bireal-18", BiRealNet.biReal18
          "bireal-34", BiRealNet.biReal34
          "vgg-small", VggSmall.vggSmall
          "binary-densenet-28", BinaryDenseNet.denseNet28
          "xnor-resnet-18", XnorResNet.xnorResNet18
          "binary-mlp", BinaryMlp.binaryMlp
          "quicknet", QuickNet.quickNet
          "resnet-18", ResNet.resNet18
          "resnet-34", ResNet.resNet34 ]

    /// <summary>The table with this name, if there is one.</summary>
    let tryFind name = all |> List.tryPick (fun (known, table) -> if known = name then Some table else None)
