/// Random valid networks of the language.
module NormFree.Tests.Spec.RandomSpecs

open NormFree.Data
open NormFree.Spec

/// The side of the images that random networks take.
let side = 16

type private Choice(seed: int64) =
    let stream = RandomStream.OfKeys(91L, seed)
    member _.Of(values: 'T list) = values[int (stream.Float() * float values.Length)]
    /// Decides without a draw: in every second network.
    member _.Half = seed % 2L = 0L
    member _.Chance(probability: float) = stream.Float() < probability

let private sign (choice: Choice) =
    choice.Of
        [ SignGradient.ApproxSign
          SignGradient.StraightThrough 1.25
          SignGradient.SigmoidDerivative 3.0
          SignGradient.SwishSign 5.0
          SignGradient.AnnealedTanh(1.0, 10.0) ]

let private activation (choice: Choice) name =
    let rprelu slope = { ShiftIn = $"{name}.in"; Slope = $"{name}.{slope}"; ShiftOut = $"{name}.out" }

    [ match choice.Of [ 0..4 ] with
      | 0 when choice.Half -> Part.Activation(Activation.PowerOfTwoRPReLU(rprelu "exponent"))
      | 0 -> Part.Activation(Activation.RPReLU(rprelu "slope"))
      | 1 -> Part.Activation(Activation.PReLU $"{name}.prelu")
      | 2 -> Parts.relu
      | 3 -> Parts.hardTanh
      | _ -> () ]

let private binary (choice: Choice) name stride outputs =
    let shift = if choice.Chance 0.5 then Some $"{name}.shift" else None
    let conv = Parts.binary name (choice.Of [ 1; 3 ]) stride outputs

    Part.Binary
        { conv with
            Shift = shift
            Sign = sign choice
            Dilation = (if choice.Chance 0.1 then 2 else 1)
            Groups = (if choice.Chance 0.1 then 2 else 1)
            Weights = (if choice.Chance 0.2 then WeightBinariser.PlainSign else WeightBinariser.Binary) }

let private norms (choice: Choice) name =
    [ if choice.Chance 0.7 then
          Parts.norm name ]

/// A branch of one or two binary convolutions.
let private branch (choice: Choice) stride outputs =
    [ yield! (if choice.Chance 0.3 then norms choice "before" else [])
      binary choice "conv1" stride outputs
      yield! norms choice "norm1"
      if choice.Chance 0.3 then
          yield! activation choice "inner"
          binary choice "conv2" 1 outputs
          yield! norms choice "norm2" ]

let private projection (choice: Choice) =
    { Name = "project"
      Norm = "projectnorm"
      Weights = choice.Of [ WeightBinariser.Binary; WeightBinariser.ZeroMean; WeightBinariser.Real ] }

/// A shortcut for a block, with its stride and its channels.
let private shortcut (choice: Choice) channels =
    match choice.Of [ 0..7 ] with
    | 0
    | 1 -> Shortcut.Identity, 1, channels
    | 2 -> Shortcut.Duplicate, 1, 2 * channels
    | 3 -> Shortcut.AveragePool, 2, channels
    | 4 -> Shortcut.AveragePoolProject(projection choice), 2, channels + 8
    | 5 -> Shortcut.MaxPool, 2, channels
    | 6 -> Shortcut.Project(projection choice), choice.Of [ 1; 2 ], channels + 8
    | _ -> Shortcut.PadChannels, choice.Of [ 1; 2 ], channels + 8

let private residual (choice: Choice) key channels side =
    let found, stride, outputs = shortcut choice channels

    let found, stride, outputs =
        if side < 4 && stride = 2 then
            Shortcut.Identity, 1, channels
        else
            found, stride, outputs

    let block =
        Blocks.residual key found (branch choice stride outputs)
        |> Blocks.andThen (activation choice "after")

    block, outputs, side / stride

let private plain (choice: Choice) key channels side =
    let pools = side >= 4 && choice.Chance 0.3
    let outputs = choice.Of [ channels; channels + 8 ]

    let parts =
        [ binary choice "conv1" 1 outputs
          if pools then
              Parts.maxPool2
          yield! norms choice "norm1"
          yield! activation choice "act" ]

    Blocks.plain key parts, outputs, (if pools then side / 2 else side)

let private dense (choice: Choice) key channels side =
    Blocks.dense key [ yield! norms choice "before"; binary choice "conv1" 1 8 ], channels + 8, side

let private transition (choice: Choice) key channels side =
    let pools = side >= 4

    let parts =
        [ yield! norms choice "norm1"
          if pools then
              choice.Of [ Parts.maxPool2; Part.AveragePool 2 ]
          Parts.relu
          Part.Conv { Name = "depthwise"; Out = channels; Kernel = 3; Stride = 1; Groups = choice.Of [ 1; channels ] }
          Parts.conv "pointwise" 1 1 16 ]

    Blocks.plain key parts, 16, (if pools then side / 2 else side)

let private body (choice: Choice) channels side =
    let kinds = choice.Of [ [ residual ]; [ residual; plain; dense; transition ] ]

    (([], channels, side), [ 1 .. choice.Of [ 1; 2; 3; 4 ] ])
    ||> List.fold (fun (blocks, channels, side) number ->
        let block, channels, side = (choice.Of kinds) choice $"body.{number}" channels side
        blocks @ [ block ], channels, side)

/// The same network without places where rounding decides: sums of ±s are often exactly 0 or equal to their neighbours. Every sign gets a shift, and binary
/// convolutions are followed by no maximum and by no activation with a kink at 0.
let withoutTies (net: NetSpec) =
    let smooth (name: string) =
        Part.Activation(Activation.RPReLU { ShiftIn = $"{name}.in"; Slope = $"{name}.slope"; ShiftOut = $"{name}.out" })

    let named (conv: BinaryConvolution) = smooth $"smooth.{conv.Convolutions.Head}"

    let rec untied parts =
        match parts with
        | (Part.Binary _ as conv) :: Part.MaxPool(2, 2, 0) :: rest -> conv :: untied (Part.AveragePool 2 :: rest)
        | (Part.Binary conv as part) :: Part.Activation _ :: rest -> part :: named conv :: untied rest
        // bn-free norms after a convolution do nothing.
        | (Part.Binary conv as part) :: (Part.Norm _ as norm) :: Part.Activation _ :: rest ->
            part :: norm :: named conv :: untied rest
        | (Part.AveragePool _ as pool) :: Part.Activation _ :: rest -> pool :: smooth "smooth" :: untied rest
        | part :: rest -> part :: untied rest
        | [] -> []

    let shifted (conv: BinaryConvolution) =
        { conv with Shift = conv.Shift |> Option.orElse (Some $"{conv.Convolutions.Head}.untied") }

    net
    |> Net.mapBlocks (fun block ->
        { Blocks.mapBinary shifted block with Branch = (Blocks.mapBinary shifted block).Branch |> untied })

/// The random network of a seed, for 16×16 images and 10 classes.
let net (seed: int64) : NetSpec =
    let choice = Choice seed
    let channels = choice.Of [ 8; 16 ]
    let stride = choice.Of [ 1; 2 ]

    let stem =
        Blocks.plain
            ""
            [ Parts.conv "conv1" 3 stride channels; yield! norms choice "bn1"; yield! activation choice "stem" ]

    let blocks, _, last = body choice channels (side / stride)
    let head = if choice.Chance 0.3 then Classifier.flat last else Classifier.pooled

    Net.create $"random-{seed}" (stem :: blocks @ [ head ])
    |> Net.withClasses 10
    |> Net.withNorm (choice.Of [ BatchNorm; NoNorm; BnFree 0.2; Scaled 0.3 ])
    |> Net.withBinarise (choice.Of [ Activations; ActivationsAndWeights ])
    |> Net.withExpectedVariance ExpectedVariance.Corrected
    |> Net.withBinaryGain (choice.Of [ BinaryGain.One; BinaryGain.VariancePreserving ])
