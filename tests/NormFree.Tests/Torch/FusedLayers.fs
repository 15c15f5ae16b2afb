/// Fixtures for the tests of fused layers: every kind of layer, its inputs, and the composite reference.
module NormFree.Tests.Torch.FusedLayers

open System
open Expecto
open NormFree.Data
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open TorchSharp

/// Tolerance for values, relative to the largest: the order of summation differs.
let values = 1e-5

/// Tolerance for gradients, relative to the largest.
let gradients = 1e-4

/// Minimum distance of an activation's argument from its kink, relative to the largest argument, so that both engines take the same side.
let margin = 4e-6

// ---- Tensors in memory ----

/// Random numbers, none of which is 0: sign(0) is 0 in the composite layers and +1 in the fused ones.
let numbers (seed: int64) count =
    let stream = RandomStream.OfKeys(7L, seed)
    Array.init count (fun _ -> float32 (stream.Between(-1.5, 1.5)))

/// The memory layout of a map.
type Layout =
    | Contiguous
    | ChannelsLast
    /// One image expanded over the batch, with stride 0.
    | OverBatch
    /// One pixel expanded over the map, with stride 0.
    | OverMap
    /// A slice of a larger map in all four dimensions.
    | Sliced

let layouts = [ Contiguous; ChannelsLast; OverBatch; OverMap; Sliced ]

/// A leaf with random values, and the map derived from it.
let map layout seed (n: int, c: int, h: int, w: int) =
    let leaf (n: int, c: int, h: int, w: int) =
        let values = numbers seed (n * c * h * w)
        torch.tensor(values).reshape(int64 n, int64 c, int64 h, int64 w).requires_grad_ true

    let all = [| int64 n; int64 c; int64 h; int64 w |]

    match layout with
    | Contiguous ->
        let leaf = leaf (n, c, h, w)
        leaf, leaf
    | ChannelsLast ->
        let leaf = leaf (n, c, h, w)
        leaf, leaf.permute(0L, 2L, 3L, 1L).contiguous().permute(0L, 3L, 1L, 2L)
    | OverBatch ->
        let leaf = leaf (1, c, h, w)
        leaf, leaf.expand all
    | OverMap ->
        let leaf = leaf (n, c, 1, 1)
        leaf, leaf.expand all
    | Sliced ->
        let leaf = leaf (n + 1, c + 3, h + 2, w + 1)

        leaf, leaf.narrow(0L, 1L, all[0]).narrow(1L, 2L, all[1]).narrow(2L, 1L, all[2]).narrow(3L, 0L, all[3])

let parameter seed factor offset (shape: int list) =
    let count = List.reduce (*) shape
    let values = numbers seed count |> Array.map (fun v -> offset + factor * v)
    torch.tensor(values).reshape([| for side in shape -> int64 side |]).requires_grad_ true

// ---- Layers ----

/// The shortcut: x itself, x repeated over the channels, or a tensor of its own.
type ShortcutKind =
    | Itself
    | Repeated
    | Given

/// A layer with the sizes and layouts of its inputs.
type Case =
    { Binary: bool
      Standardised: bool
      ShortcutKind: ShortcutKind
      Kernel: int
      Stride: int
      In: int
      Outs: int list
      Batch: int
      Side: int * int
      Input: Layout
      Gradient: Layout }

    member case.Out = List.sum case.Outs

    member case.OutSide =
        let pixels side = (side + 2 * (case.Kernel / 2) - case.Kernel) / case.Stride + 1
        pixels (fst case.Side), pixels (snd case.Side)

/// The inputs of a layer, and the named leaves whose gradients are compared.
type Inputs =
    { X: torch.Tensor
      Shortcut: torch.Tensor option
      Parameters: BinaryLayerParameters
      Leaves: (string * torch.Tensor) list }

let beta, factor = 0.9f, 0.4f

let optionsIn precision (case: Case) =
    BinaryConvolutionOptions(
        "the layer",
        case.In,
        List.toArray case.Outs,
        case.Kernel,
        case.Stride,
        case.Kernel / 2,
        beta,
        case.Standardised,
        case.Binary,
        factor,
        precision
    )

let options = optionsIn FusedPrecision.Float32

let inputs (seed: int64) (case: Case) =
    let seed = 1000L * seed
    let height, width = case.OutSide
    let leaf, x = map case.Input seed (case.Batch, case.In, fst case.Side, snd case.Side)

    let shortcut =
        match case.ShortcutKind with
        | Given -> Some(map case.Input (seed + 1L) (case.Batch, case.Out, height, width))
        | _ -> None

    let ofEach first shape factor offset =
        [ for i, out in List.indexed case.Outs -> parameter (seed + first + int64 i) factor offset (shape out) ]

    // Up to 1.5: some exceed ±1, where the gradient of a binary weight is 0.
    let weights = ofEach 10L (fun out -> [ out; case.In; case.Kernel; case.Kernel ]) 1.0f 0.01f

    let gains =
        if case.Standardised then
            ofEach 20L (fun out -> [ out; 1; 1; 1 ]) 0.5f 1.0f
        else
            []

    let shift = parameter (seed + 2L) 0.2f 0.0f [ 1; case.In; 1; 1 ]

    let activation =
        [ parameter (seed + 3L) 0.2f 0.0f [ 1; case.Out; 1; 1 ]
          parameter (seed + 4L) 0.2f 0.25f [ case.Out ]
          parameter (seed + 5L) 0.2f 0.0f [ 1; case.Out; 1; 1 ] ]

    { X = x
      Shortcut = Option.map snd shortcut
      Parameters = BinaryLayerParameters(shift, List.toArray weights, List.toArray gains, List.toArray activation)
      Leaves =
        [ yield "x", leaf
          yield! shortcut |> Option.map (fun (leaf, _) -> "shortcut", leaf) |> Option.toList
          yield "b", shift
          yield! weights |> List.mapi (fun i weight -> $"w{i}", weight)
          yield! gains |> List.mapi (fun i gain -> $"gain{i}", gain)
          yield! List.zip [ "b1"; "slope"; "b2" ] activation ] }

let apply options (inputs: Inputs) =
    let shortcut: torch.Tensor | null = Option.toObj inputs.Shortcut
    FusedBinaryLayer.Apply(options, inputs.X, shortcut, inputs.Parameters)

let fused case inputs = apply (options case) inputs

/// α·(w ∗ sign(β·x + b)) by the composite layers.
let compositeConvolution (case: Case) (x: torch.Tensor) (parameters: BinaryLayerParameters) =
    let signs = ApproximateSign.Apply(LearnableShift.Apply(x.Times(float beta), parameters.Shift))

    let options =
        ConvolutionOptions(case.Stride, case.Kernel / 2, case.Standardised, case.Binary, float factor)

    let results =
        [| for i in 0 .. case.Outs.Length - 1 ->
               let gain: torch.Tensor | null = if case.Standardised then parameters.Gains[i] else null
               let mutable options = options
               Convolution.Apply(signs, parameters.Weights[i], gain, &options) |]

    torch.cat (results, 1L)

/// The layer's result and the argument of its activation, by the composite layers.
let composite (case: Case) (inputs: Inputs) =
    let branch = compositeConvolution case inputs.X inputs.Parameters

    let shortcut =
        match inputs.Shortcut with
        | Some shortcut -> shortcut
        | None -> torch.cat (Array.replicate (case.Out / case.In) inputs.X, 1L)

    let activation = inputs.Parameters.Activation
    let sum = branch.Plus shortcut
    RPReLUActivation.Apply(sum, activation[0], activation[1], activation[2]), LearnableShift.Apply(sum, activation[0])

/// Whether every argument is far enough from its kink that rounding cannot move it to the other side.
let awayFromKinks (arguments: torch.Tensor) =
    let sizes = Agreement.values arguments |> Array.map abs
    Array.min sizes > margin * Array.max sizes

/// The inputs of the first seed for which no argument lies near its kink.
let awayFromKink seed make (arguments: 'inputs -> torch.Tensor) =
    Seq.initInfinite (fun i -> make (seed + int64 i))
    |> Seq.truncate 20
    |> Seq.tryFind (fun inputs ->
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        awayFromKinks (arguments inputs))
    |> Option.defaultWith (fun () -> failtest "every seed has an argument near its kink")

let close tolerance what (actual: torch.Tensor) (expected: torch.Tensor) =
    Expect.sequenceEqual actual.shape expected.shape $"{what}: shape"
    let actual, expected = Agreement.values actual, Agreement.values expected
    let largest = expected |> Array.map abs |> Array.max
    let worst = Array.map2 (fun (a: float) e -> abs (a - e)) actual expected |> Array.max

    // Written so that NaN fails.
    if not (worst <= tolerance * largest) then
        failtest $"{what}: differs by {worst} where the largest value is {largest}"

let bytes (tensor: torch.Tensor) =
    use _ = torch.NewDisposeScope()
    tensor.detach().contiguous().bytes.ToArray()

let sameBits what actual expected = Expect.isTrue (bytes actual = bytes expected) $"{what}: the same bits"

/// Runs the backward pass with a gradient of the given layout, and throws if a layer failed.
let backward layout (y: torch.Tensor) =
    let side axis = int (y.size axis)
    let _, gradient = map layout 99L (side 0, side 1, side 2, side 3)
    y.backward [| gradient.detach () |]
    FusedBackward.End()

let gradientsOf (inputs: Inputs) = [ for name, leaf in inputs.Leaves -> name, Agreement.gradient leaf ]

let gradientsAgree what actual expected =
    for (name, actual), (_, expected) in List.zip (gradientsOf actual) (gradientsOf expected) do
        close gradients $"{what}, gradient of {name}" actual expected

/// Every combination of sizes for one kind of layer; layouts take turns.
let cases (binary, standardised, shortcut) =
    let channels =
        match shortcut with
        | Itself -> [ 1, [ 1 ]; 7, [ 7 ]; 64, [ 64 ]; 64 + 3, [ 64 + 3 ]; 16, [ 8; 8 ] ]
        | Repeated -> [ 1, [ 2 ]; 7, [ 7; 7 ]; 32, [ 32; 32 ]; 64 + 3, [ 2 * (64 + 3) ]; 8, [ 8; 16 ] ]
        | Given -> [ 1, [ 5 ]; 5, [ 1 ]; 64, [ 64 + 5 ]; 64 + 3, [ 32 + 1 ]; 8, [ 3; 9; 1 ] ]

    let sizes =
        [ for kernel in [ 1; 3 ] do
              for stride in (if shortcut = Given then [ 1; 2 ] else [ 1 ]) do
                  for batch in [ 1; 3 ] do
                      for channels in channels -> kernel, stride, batch, channels ]

    [ for i, (kernel, stride, batch, (input, outs)) in List.indexed sizes do
          // The standard deviation of a filter of one weight is rounding noise.
          if not (standardised && kernel = 1 && input = 1) then
              { Binary = binary
                Standardised = standardised
                ShortcutKind = shortcut
                Kernel = kernel
                Stride = stride
                In = input
                Outs = outs
                Batch = batch
                Side = 6, 5
                Input = layouts[i % 5]
                Gradient = layouts[(i / 5 + i) % 5] } ]

let everyKind =
    [ for binary in [ false; true ] do
          for standardised in [ false; true ] do
              for shortcut in [ Itself; Repeated; Given ] -> binary, standardised, shortcut ]

let describe (binary, standardised, shortcut) =
    let weights = if binary then "binary" else "real"
    let filters = if standardised then "standardised" else "plain"
    $"{weights} weights, {filters} filters, shortcut {shortcut}"

/// One medium-sized case of every kind of layer.
let typical =
    [ for kind in everyKind do
          let case = (cases kind)[7]
          describe kind, { case with Kernel = 3; Batch = 3 } ]

let run (case: Case) inputs =
    let y = fused case inputs
    backward case.Gradient y
    y
