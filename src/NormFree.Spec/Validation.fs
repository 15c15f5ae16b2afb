namespace NormFree.Spec

/// <summary>One error in a spec: its place and the problem.</summary>
type SpecError =
    { Where: string
      What: string }

    override e.ToString() = $"{e.Where}: {e.What}"

/// Limits and checks of single numbers.
module private Check =

    let error where what = { Where = where; What = what }

    let require where what condition =
        if condition then [] else [ error where what ]

    let maxClasses = 10_000_000
    let maxBlocks = 4096
    let private maxChannels = 1 <<< 16
    let private maxSide = 255

    /// α, variances and constants of gradients in this range keep β and every scale finite and positive in float32.
    let isScale value = value >= 1e-30 && value <= 1e30

    let atMost where limit what value =
        require where $"at most {limit} {what} are allowed, not {value}" (value <= limit)

    let channels where outputs =
        [ atMost where maxChannels "channels" outputs
          require where $"the number of channels must be at least 1, not {outputs}" (outputs >= 1) ]
        |> List.concat

    let between where what low value =
        require where $"the {what} must be from {low} to {maxSide}, not {value}" (value >= low && value <= maxSide)

    let window where kernel stride =
        between where "kernel" 1 kernel
        @ between where "stride" 1 stride
        @ require where $"the kernel must be odd, not {kernel}" (kernel % 2 = 1)

    let groups where inputs outputs groups =
        require
            where
            $"{inputs} inputs and {outputs} outputs cannot be split into {groups} groups: choose a number of groups that divides both"
            (groups >= 1 && inputs % groups = 0 && outputs % groups = 0)

/// Checks of parts.
module private PartCheck =

    let private sign where gradient =
        let scale what value =
            Check.require where $"the {what} of the sign's gradient must be from 1e-30 to 1e30, not {value}" (Check.isScale value)

        match gradient with
        | SignGradient.ApproxSign -> []
        | SignGradient.StraightThrough bound -> scale "bound" bound
        | SignGradient.SigmoidDerivative k -> scale "constant k" k
        | SignGradient.SwishSign beta -> scale "constant β" beta
        | SignGradient.AnnealedTanh(first, last) -> scale "first k" first @ scale "last k" last
        | SignGradient.Custom name -> Check.require where "a custom gradient needs a name" (name <> "")

    let private binary where inputs (conv: BinaryConvolution) =
        let several = conv.Convolutions.Length

        [ Check.channels where conv.Out
          Check.window where conv.Kernel conv.Stride
          Check.between where "dilation" 1 conv.Dilation
          Check.require where "it needs the name of at least one convolution" (several >= 1)
          Check.require
              where
              $"{conv.Out} output channels cannot be split evenly over {several} convolutions"
              (several >= 1 && conv.Out % several = 0)
          Check.groups where inputs (conv.Out / max 1 several) conv.Groups
          sign where conv.Sign
          Check.require
              where
              "zero-mean filters exist for the 1×1 convolutions of shortcuts only: choose binary, plain-sign or real ones"
              (conv.Weights <> WeightBinariser.ZeroMean) ]
        |> List.concat

    let private pool where kernel stride padding =
        Check.between where "kernel" 1 kernel
        @ Check.between where "stride" 1 stride
        @ Check.require
            where
            $"the padding must be from 0 to half the kernel, not {padding}"
            (padding >= 0 && padding <= kernel / 2)

    let private norm where before (names: string list) =
        let parallels =
            match before with
            | Some(Part.Binary conv) -> conv.Convolutions.Length
            | _ -> 1

        Check.require
            where
            $"a norm needs one name, or one for each of the parallel convolutions directly before it, not {names.Length} names"
            (names.Length = parallels)

    /// The errors of a part, given the part before it.
    let errors where before inputs part =
        match part with
        | Part.Binary conv -> binary where inputs conv
        | Part.Conv conv ->
            Check.channels where conv.Out
            @ Check.window where conv.Kernel conv.Stride
            @ Check.groups where inputs conv.Out conv.Groups
        | Part.Norm names -> norm where before names
        | Part.Activation(Activation.Custom "") -> [ Check.error where "a custom activation needs a name" ]
        | Part.MaxPool(kernel, stride, padding) -> pool where kernel stride padding
        | Part.AveragePool kernel -> Check.between where "kernel" 1 kernel
        | Part.Flatten side -> Check.between where "side" 1 side
        | Part.Activation _
        | Part.GlobalAveragePool
        | Part.Linear _ -> []

    /// The channels after a part.
    let outputs channels part =
        match part with
        | Part.Binary conv -> conv.Out
        | Part.Conv conv -> conv.Out
        | Part.Flatten side when side >= 1 && side <= 255 -> channels * side * side
        | _ -> channels

/// <summary>Validates specs, such as those read from files.</summary>
[<RequireQualifiedAccess>]
module Validation =

    let private where number (block: Block) =
        match number, block.Key with
        | 0, "" -> "stem"
        | number, "" -> $"block {number}"
        | _, key -> key

    let private shortcut where inputs outputs (block: Block) =
        let stride = Blocks.stride block
        let same = inputs = outputs

        let name, fits, needs =
            match block.Shortcut with
            | Shortcut.None
            | Shortcut.Concatenate -> "Concatenate", (block.Shortcut = Shortcut.None || stride = 1), "stride 1"
            | Shortcut.Identity -> "Identity", same && stride = 1, "equal channels and stride 1"
            | Shortcut.Duplicate ->
                "Duplicate", outputs = 2 * inputs && stride = 1, "twice as many outputs as inputs and stride 1"
            | Shortcut.AveragePool -> "AveragePool", same && stride = 2, "equal channels and stride 2"
            | Shortcut.MaxPool -> "MaxPool", same && stride = 2, "equal channels and stride 2"
            | Shortcut.AveragePoolProject _ -> "AveragePoolProject", stride = 2, "stride 2"
            | Shortcut.Project _ -> "Project", true, ""
            | Shortcut.PadChannels ->
                "PadChannels", outputs >= inputs && stride <= 2, "at least as many outputs as inputs and stride 1 or 2"

        let article = if "AEIOU".Contains name[0] then "an" else "a"

        Check.require
            where
            $"{article} {name} shortcut needs {needs}, but the block has {inputs} inputs, {outputs} outputs and stride {stride}"
            fits

    let private parts where inputs parts =
        (([], inputs), parts)
        ||> List.fold (fun (errors, channels) (place, before, part) ->
            errors @ PartCheck.errors $"{where}{place}" before channels part, PartCheck.outputs channels part)

    /// Parts with their place and the part before them.
    let private placed name parts =
        List.zip3
            [ for i in 1 .. List.length parts -> $", {name} part {i}" ]
            (List.truncate (List.length parts) (None :: List.map Some parts))
            parts

    /// The errors of a block, and the channels after it.
    let private block channels (number, block: Block) =
        let where = where number block
        let ofBranch, outputs = parts where channels (placed "branch" block.Branch)
        let ofShortcut = if ofBranch.IsEmpty then shortcut where channels outputs block else []
        let outputs = if block.Shortcut = Shortcut.Concatenate then channels + outputs else outputs
        let ofAfter, outputs = parts where outputs (placed "after" block.After)
        ofBranch @ ofShortcut @ ofAfter, outputs

    let private isLinear part =
        match part with
        | Part.Linear _ -> true
        | _ -> false

    /// The classifier is the last part, and the only linear layer.
    let private classifier (net: NetSpec) =
        let all = net.Blocks |> List.collect (fun block -> block.Branch @ block.After)

        Check.require
            net.Name
            "its last part must be a linear layer, and no other part may be one: end with Classifier.pooled or Classifier.flat"
            ((List.tryLast all |> Option.exists isLinear) && (all |> List.filter isLinear |> List.length = 1))

    let private norm (net: NetSpec) =
        match net.Norm with
        | BnFree alpha
        | Scaled alpha -> Check.require net.Name $"α must be from 1e-30 to 1e30, not {alpha}" (Check.isScale alpha)
        | BatchNorm
        | NoNorm -> []

    let private variances (net: NetSpec) =
        match net.ExpectedVariance with
        | ExpectedVariance.Published
        | ExpectedVariance.Corrected -> []
        | ExpectedVariance.Measured variances ->
            let blocks = (Net.residualBlocks net).Length

            Check.require
                net.Name
                $"it needs a variance from 1e-30 to 1e30 for each of its {blocks} residual blocks, not {variances}"
                (variances.Length = blocks && variances |> List.forall Check.isScale)

    /// Requires an otherwise valid spec, because it is lowered.
    let private uniqueKeys net =
        Lowering.lower net
        |> Parameters.ofGraph
        |> List.countBy _.Key
        |> List.filter (fun (_, count) -> count > 1)
        |> List.map (fun (key, count) -> Check.error key $"{count} parameters have this name")

    /// <summary>The spec, or all of its errors.</summary>
    let validate (net: NetSpec) : Result<NetSpec, SpecError list> =
        let ofBlocks, _ = (3, List.indexed net.Blocks) ||> List.mapFold block

        let errors =
            [ Check.require net.Name $"it must have at least 2 classes, not {net.Classes}" (net.Classes >= 2)
              Check.atMost net.Name Check.maxClasses "classes" net.Classes
              Check.require net.Name "it needs at least two blocks, a stem and a classifier" (net.Blocks.Length >= 2)
              Check.atMost net.Name Check.maxBlocks "blocks" net.Blocks.Length
              classifier net
              norm net
              variances net
              yield! ofBlocks ]
            |> List.concat

        match (if errors.IsEmpty then uniqueKeys net else errors) with
        | [] -> Ok net
        | errors -> Error errors

    /// <summary>The spec, or every reason why it cannot process images of this size.</summary>
    let fits (height: int) (width: int) (net: NetSpec) : Result<NetSpec, SpecError list> =
        validate net
        |> Result.bind (fun net ->
            match Shapes.infer (Lowering.lower net) { C = 3; H = height; W = width } with
            | Ok _ -> Ok net
            | Error what -> Error [ Check.error $"{net.Name} on {height}×{width} images" what ])
