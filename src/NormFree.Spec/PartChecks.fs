namespace NormFree.Spec

/// <summary>One error in a spec: its place and the problem.</summary>
type SpecError =
    { Where: string
      What: string }

    override e.ToString() = $"{e.Where}: {e.What}"

/// Limits and checks of single numbers and names.
module internal Check =

    let error where what = { Where = where; What = what }

    let require where what condition = if condition then [] else [ error where what ]

    let maxClasses = 10_000_000
    let maxBlocks = 4096
    let maxParts = 256
    let maxChannels = 1 <<< 16
    /// Values of a flattened map.
    let maxVector = 1 <<< 24
    /// Values of all parameters: tensors are indexed by 32-bit integers.
    let maxValues = float System.Int32.MaxValue
    let maxSide = 255

    /// α, variances and constants of gradients in this range keep β and every scale finite and positive in float32.
    let isScale value = value >= 1e-30 && value <= 1e30

    let atMost where limit what value =
        require where $"at most {limit} {what} are allowed, not {value}" (value <= limit)

    let channels where outputs =
        [ atMost where maxChannels "channels" outputs
          require where $"the number of channels must be at least 1, not {outputs}" (outputs >= 1) ]
        |> List.concat

    let private isNameLetter letter = System.Char.IsAsciiLetterOrDigit letter || "._-".Contains letter

    /// Names of parameters become names in files of other programs.
    let name where (name: string) =
        require
            where
            $"a parameter's name needs letters, digits, '.', '_' and '-' only, not '{name}'"
            (not (System.String.IsNullOrEmpty name) && name |> Seq.forall isNameLetter)

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
module internal PartCheck =

    let private sign where gradient =
        let scale what value =
            Check.require
                where
                $"the {what} of the sign's gradient must be from 1e-30 to 1e30, not {value}"
                (Check.isScale value)

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
          conv.Convolutions @ Option.toList conv.Shift |> List.collect (Check.name where)
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
        @ List.collect (Check.name where) names

    let private activation where activation =
        match activation with
        | Activation.RPReLU names
        | Activation.PowerOfTwoRPReLU names ->
            [ names.ShiftIn; names.Slope; names.ShiftOut ] |> List.collect (Check.name where)
        | Activation.PReLU slope -> Check.name where slope
        | Activation.Custom name -> Check.require where "a custom activation needs a name" (name <> "")
        | Activation.ReLU
        | Activation.HardTanh -> []

    let private flatten where channels side =
        let values = int64 channels * int64 side * int64 side

        Check.between where "side" 1 side
        @ Check.require
            where
            $"a flattened map has at most {Check.maxVector} values, not {values}"
            (values <= int64 Check.maxVector)

    /// The errors of a part, given the part before it.
    let errors where before inputs part =
        match part with
        | Part.Binary conv -> binary where inputs conv
        | Part.Conv conv ->
            Check.name where conv.Name
            @ Check.channels where conv.Out
            @ Check.window where conv.Kernel conv.Stride
            @ Check.groups where inputs conv.Out conv.Groups
        | Part.Norm names -> norm where before names
        | Part.Activation chosen -> activation where chosen
        | Part.MaxPool(kernel, stride, padding) -> pool where kernel stride padding
        | Part.AveragePool kernel -> Check.between where "kernel" 1 kernel
        | Part.Flatten side -> flatten where inputs side
        | Part.Linear name -> Check.name where name
        | Part.GlobalAveragePool -> []

    /// The channels after a part.
    let outputs channels part =
        match part with
        | Part.Binary conv -> conv.Out
        | Part.Conv conv -> conv.Out
        | Part.Flatten side when (flatten "" channels side).IsEmpty -> channels * side * side
        | _ -> channels
