/// Blocks in the composite engine against loops, in float64: every shortcut and binariser, groups and dilation.
module NormFree.Tests.Training.BlockTests

open System
open System.Collections.Generic
open Expecto
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Tests.Golden
open TorchSharp

/// A map of one image, channel by channel.
type private Map =
    { C: int
      Side: int
      Values: float[] }

    member map.At(channel, row, column) =
        if row < 0 || column < 0 || row >= map.Side || column >= map.Side then
            0.0
        else
            map.Values[(channel * map.Side + row) * map.Side + column]

let private init channels side value =
    { C = channels
      Side = side
      Values =
        [| for c in 0 .. channels - 1 do
               for y in 0 .. side - 1 do
                   for x in 0 .. side - 1 -> value c y x |] }

let private map f (x: Map) = { x with Values = Array.map f x.Values }

let private add (a: Map) (b: Map) = { a with Values = Array.map2 (+) a.Values b.Values }

let private concatenate (maps: Map list) =
    { maps.Head with C = List.sumBy _.C maps; Values = maps |> List.map _.Values |> Array.concat }

let private convolve outputs kernel stride dilation groups (weight: float[]) (x: Map) =
    let inputs, padding = x.C / groups, dilation * (kernel / 2)
    let side = (x.Side + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1

    init outputs side (fun o row column ->
        Seq.sum (
            seq {
                for i in 0 .. inputs - 1 do
                    for dy in 0 .. kernel - 1 do
                        for dx in 0 .. kernel - 1 ->
                            weight[((o * inputs + i) * kernel + dy) * kernel + dx]
                            * x.At(
                                o / (outputs / groups) * inputs + i,
                                row * stride + dy * dilation - padding,
                                column * stride + dx * dilation - padding
                            )
            }
        ))

let private windows reduce (x: Map) =
    init x.C (x.Side / 2) (fun c y z ->
        reduce
            [ for dy in 0..1 do
                  for dx in 0..1 -> x.At(c, 2 * y + dy, 2 * z + dx) ])

let private averagePool x = windows List.average x

/// The filters as stage 2 uses them.
let private binarised weights preserves (filter: float[]) =
    let signs = filter |> Array.map (sign >> float)
    let mean, scale = Array.average signs, filter |> Array.averageBy abs
    let gamma = if preserves then sqrt (Math.PI / 2.0) else 1.0

    match weights with
    | WeightBinariser.Real -> filter
    | WeightBinariser.Binary -> signs |> Array.map (fun s -> gamma * scale * s)
    | WeightBinariser.ZeroMean -> signs |> Array.map (fun s -> gamma * scale * (s - mean))
    | WeightBinariser.PlainSign -> signs |> Array.map (fun s -> if preserves then s / sqrt (float filter.Length) else s)

let private standardised (filter: float[]) =
    let mean = Array.average filter
    let deviation = sqrt (filter |> Array.averageBy (fun v -> (v - mean) ** 2.0))
    filter |> Array.map (fun v -> (v - mean) / (deviation + 1e-5) / sqrt (float filter.Length))

/// The effective filters of a convolution with this key.
let private filters (net: NetSpec) (values: string -> float[]) key outputs weights =
    let bnFree = net.Norm.IsBnFree
    let gains = if bnFree then values $"{key}.gain" else Array.create outputs 1.0
    let weights = if net.Binarise = Activations then WeightBinariser.Real else weights

    values $"{key}.weight"
    |> Array.splitInto outputs
    |> Array.map2
        (fun gain filter ->
            (if bnFree then standardised filter else filter) |> binarised weights bnFree |> Array.map ((*) gain))
        gains
    |> Array.concat

let private inputs = 4
let private side = 6
let private alpha = 0.3
let private variance = 1.7

/// What the shortcut of a block adds.
let private shortcut net values alphaBeta (block: Block) (conv: BinaryConvolution) (x: Map) =
    let scaled = map ((*) (snd alphaBeta)) x

    let project stride (projection: Projection) =
        convolve conv.Out 1 stride 1 1 (filters net values $"block.{projection.Name}" conv.Out projection.Weights)

    match block.Shortcut with
    | Shortcut.None
    | Shortcut.Concatenate -> None
    | Shortcut.Identity -> Some x
    | Shortcut.Duplicate -> Some(concatenate [ x; x ])
    | Shortcut.AveragePool -> Some(averagePool scaled)
    | Shortcut.AveragePoolProject projection -> Some(averagePool scaled |> project 1 projection)
    | Shortcut.MaxPool -> Some(windows List.max scaled)
    | Shortcut.Project projection -> Some(project conv.Stride projection scaled)
    | Shortcut.PadChannels ->
        let small = if conv.Stride = 2 then averagePool scaled else scaled
        Some(concatenate [ small; init (conv.Out - x.C) small.Side (fun _ _ _ -> 0.0) ])

/// α·w ∗ sign(β·x), with the shortcut.
let private expected (net: NetSpec) values (block: Block) (conv: BinaryConvolution) (x: Map) =
    let alpha, beta =
        if net.Norm.IsBnFree && Blocks.isResidual block then
            alpha, 1.0 / sqrt variance
        else
            1.0, 1.0

    let branch =
        map (fun v -> float (sign (beta * v))) x
        |> convolve
            conv.Out
            conv.Kernel
            conv.Stride
            conv.Dilation
            conv.Groups
            (filters net values "block.conv" conv.Out conv.Weights)
        |> map ((*) alpha)

    match shortcut net values (alpha, beta) block conv x with
    | Some added -> add branch added
    | None when block.Shortcut = Shortcut.Concatenate -> concatenate [ x; branch ]
    | None -> branch

let private everyBinariser =
    [ WeightBinariser.Binary
      WeightBinariser.PlainSign
      WeightBinariser.ZeroMean
      WeightBinariser.Real ]

/// Each shortcut with the stride and the channels of its block.
let private shortcuts =
    [ Shortcut.None, 1, 6
      Shortcut.None, 2, 6
      Shortcut.Identity, 1, 4
      Shortcut.Duplicate, 1, 8
      Shortcut.Concatenate, 1, 6
      Shortcut.AveragePool, 2, 4
      Shortcut.MaxPool, 2, 4
      Shortcut.PadChannels, 1, 6
      Shortcut.PadChannels, 2, 6
      for weights in everyBinariser do
          let project = { Name = "project"; Norm = "projectnorm"; Weights = weights }
          Shortcut.AveragePoolProject project, 2, 6
          Shortcut.Project project, 1, 6
          Shortcut.Project project, 2, 6 ]

/// Kernel, dilation and groups.
let private geometries = [ 3, 1, 1; 3, 2, 1; 3, 1, 2; 3, 2, 2; 1, 1, 2 ]

let private network norm binarise (block: Block) =
    Net.create "block" [ Blocks.plain "" [ Parts.conv "conv1" 3 1 inputs ]; block; Classifier.pooled ]
    |> Net.withNorm norm
    |> Net.withBinarise binarise
    |> Net.withBinaryGain BinaryGain.VariancePreserving
    |> Net.withExpectedVariance (ExpectedVariance.Measured(if Blocks.isResidual block then [ variance ] else []))

let private agrees norm binarise block conv =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let net = network norm binarise block
    Expect.isOk (Validation.fits side side net) "valid"
    let stream = RandomStream.OfKeys(77L, 1L)
    let random count = Array.init count (fun _ -> stream.Normal())
    use network = Network.create torch.ScalarType.Float64 Rule.Corrected 1L net
    let tensors = dict network.Tensors
    network |> Network.fill (fun key -> torch.tensor (random (int (tensors[key].numel()))))
    let x = { C = inputs; Side = side; Values = random (inputs * side * side) }
    let values key = Agreement.values tensors[key]
    let graph = Lowering.parts net |> List.item 1 |> snd

    let result =
        CompositeEngine
            .OfTorch((fun () -> 0.0), Dictionary(tensors))
            .Run(Evaluate, graph, torch.tensor(x.Values).reshape(1L, int64 inputs, int64 side, int64 side))

    let expected = expected net values block conv x
    Expect.equal result.shape [| 1L; int64 expected.C; int64 expected.Side; int64 expected.Side |] "shape"
    Agreement.allClose 1e-12 result expected.Values "values"

let tests =
    testList
        "blocks"
        [ for found, stride, outputs in shortcuts do
              for norm in [ NoNorm; BnFree alpha ] do
                  test $"{Json.name found} with stride {stride} and {Names.norm norm} equals its loops" {
                      for binarise in [ Activations; ActivationsAndWeights ] do
                          for kernel, dilation, groups in geometries do
                              for weights in everyBinariser do
                                  if weights <> WeightBinariser.ZeroMean then
                                      let conv =
                                          { Parts.binary "conv" kernel stride outputs with
                                              Dilation = dilation
                                              Groups = groups
                                              Weights = weights }

                                      let block = Blocks.residual "block" found [ Part.Binary conv ]
                                      agrees norm binarise block conv
                  } ]
