namespace NormFree.Spec

/// <summary>Parts with usual settings.</summary>
[<RequireQualifiedAccess>]
module Parts =

    /// <summary>w ∗ sign(x): kernel×kernel, with mean|w|·sign(w) filters and Bi-Real Net's gradient.</summary>
    let binary name kernel stride outputs =
        { Convolutions = [ name ]
          Shift = None
          Out = outputs
          Kernel = kernel
          Stride = stride
          Groups = 1
          Dilation = 1
          Sign = SignGradient.ApproxSign
          Weights = WeightBinariser.Binary }

    /// <summary>A real kernel×kernel convolution.</summary>
    let conv name kernel stride outputs =
        Part.Conv { Name = name; Out = outputs; Kernel = kernel; Stride = stride; Groups = 1 }

    /// <summary>A batch norm, in networks that have batch norm.</summary>
    let norm name = Part.Norm [ name ]

    let relu = Part.Activation Activation.ReLU

    let hardTanh = Part.Activation Activation.HardTanh

    let maxPool2 = Part.MaxPool(2, 2, 0)

    /// <summary>The output channels of a convolution.</summary>
    let outputs part =
        match part with
        | Part.Conv conv -> Some conv.Out
        | Part.Binary conv -> Some conv.Out
        | _ -> None

/// <summary>Blocks of parts.</summary>
[<RequireQualifiedAccess>]
module Blocks =

    /// <summary>The parts in order, without a shortcut.</summary>
    let plain key (parts: Part seq) =
        { Key = key
          Branch = List.ofSeq parts
          Shortcut = Shortcut.None
          After = []
          Variance = ByShortcut }

    /// <summary>α·branch(β·x) + shortcut(x).</summary>
    let residual key shortcut (branch: Part seq) = { plain key branch with Shortcut = shortcut }

    /// <summary>The branch's channels appended to x.</summary>
    let dense key (branch: Part seq) = residual key Shortcut.Concatenate branch

    /// <summary>Adds parts after the sum.</summary>
    let andThen (parts: Part seq) block = { block with After = block.After @ List.ofSeq parts }

    /// <summary>Whether the block has α and β.</summary>
    let isResidual block =
        match block.Shortcut with
        | Shortcut.None
        | Shortcut.Concatenate -> false
        | _ -> true

    /// <summary>Whether the shortcut changes the map, so that it starts from β·x.</summary>
    let changesMap block =
        match block.Shortcut with
        | Shortcut.None
        | Shortcut.Identity
        | Shortcut.Duplicate
        | Shortcut.Concatenate -> false
        | _ -> true

    /// <summary>Changes every part of the block.</summary>
    let mapParts change block =
        { block with Branch = List.map change block.Branch; After = List.map change block.After }

    /// <summary>Changes every binary convolution of the block.</summary>
    let mapBinary change =
        mapParts (function
            | Part.Binary conv -> Part.Binary(change conv)
            | part -> part)

    /// <summary>Changes every activation of the block.</summary>
    let mapActivations change =
        mapParts (function
            | Part.Activation activation -> Part.Activation(change activation)
            | part -> part)

    /// <summary>The binary convolutions of the block.</summary>
    let binaryConvolutions block =
        block.Branch @ block.After
        |> List.choose (function
            | Part.Binary conv -> Some conv
            | _ -> None)

    /// <summary>The product of the branch's strides, at most 2¹⁶.</summary>
    let stride block =
        let times stride factor = min (1 <<< 16) (stride * max 1 (min 256 factor))

        (1, block.Branch)
        ||> List.fold (fun stride part ->
            match part with
            | Part.Binary conv -> times stride conv.Stride
            | Part.Conv conv -> times stride conv.Stride
            | Part.MaxPool(_, step, _) -> times stride step
            | Part.AveragePool step -> times stride step
            | _ -> stride)

    let private ofShortcut change shortcut =
        match shortcut with
        | Shortcut.AveragePoolProject projection -> Shortcut.AveragePoolProject(change projection)
        | Shortcut.Project projection -> Shortcut.Project(change projection)
        | other -> other

    /// <summary>Changes the convolution of the shortcut, if it has one.</summary>
    let mapProjection change block = { block with Shortcut = ofShortcut change block.Shortcut }

    /// <summary>The convolution of the shortcut, if it has one.</summary>
    let projection block =
        match block.Shortcut with
        | Shortcut.AveragePoolProject projection
        | Shortcut.Project projection -> Some projection
        | _ -> None

/// <summary>The image size that a stem is designed for.</summary>
type StemKind =
    /// 224×224: the stem downsamples.
    | [<System.Text.Json.Serialization.JsonPropertyName "imagenet">] ImageNetStem
    /// 32×32: the stem preserves the map's size. The published code never uses it (deviation 1 of the method).
    | [<System.Text.Json.Serialization.JsonPropertyName "cifar">] CifarStem

/// <summary>First blocks.</summary>
[<RequireQualifiedAccess>]
module Stem =

    /// <summary>The parts of the ResNet family's stem: 7×7 with stride 2 and a max-pool for ImageNet, 3×3 for small images.</summary>
    let parts channels kind =
        match kind with
        | ImageNetStem -> [ Parts.conv "conv1" 7 2 channels; Parts.norm "bn1"; Part.MaxPool(3, 2, 1) ]
        | CifarStem -> [ Parts.conv "conv1" 3 1 channels; Parts.norm "bn1" ]

    /// <summary>The ResNet family's stem.</summary>
    let resNet channels kind = Blocks.plain "" (parts channels kind)

/// <summary>Last blocks.</summary>
[<RequireQualifiedAccess>]
module Classifier =

    /// <summary>Global average pooling and a linear layer.</summary>
    let pooled = Blocks.plain "" [ Part.GlobalAveragePool; Part.Linear "fc" ]

    /// <summary>A linear layer on all values of a map of side×side.</summary>
    let flat side = Blocks.plain "" [ Part.Flatten side; Part.Linear "fc" ]
