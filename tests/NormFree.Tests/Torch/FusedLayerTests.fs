/// Fused layers against the composite ones, which autograd differentiates by itself.
module NormFree.Tests.Torch.FusedLayerTests

open System
open Expecto
open NormFree.Data
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open TorchSharp

/// What values may differ by, as a part of the largest: sums are made in another order.
let private values = 1e-5

/// The same of gradients.
let private gradients = 1e-4

/// How far from its kink an activation must be, as a part of the largest argument, for both engines to be on the same side.
let private margin = 4e-6

// ---- Tensors in memory ----

/// None of them is 0, whose sign is 0 for the composite layers and + for the fused ones.
let private numbers (seed: int64) count =
    let stream = RandomStream.OfKeys(7L, seed)
    Array.init count (fun _ -> float32 (stream.Between(-1.5, 1.5)))

/// How a map lies in memory.
type private Layout =
    | Contiguous
    | ChannelsLast
    /// Every image the same, with stride 0.
    | OverBatch
    /// Every pixel of a channel the same, with stride 0.
    | OverMap
    /// A part of a larger map, cut in all four directions.
    | Sliced

let private layouts = [ Contiguous; ChannelsLast; OverBatch; OverMap; Sliced ]

/// A leaf with random values, and the map that is made of it.
let private map layout seed (n: int, c: int, h: int, w: int) =
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

let private parameter seed factor offset (shape: int list) =
    let count = List.reduce (*) shape
    let values = numbers seed count |> Array.map (fun v -> offset + factor * v)
    torch.tensor(values).reshape([| for side in shape -> int64 side |]).requires_grad_ true

// ---- Layers ----

type private Around =
    | Itself
    | Repeated
    | Given

/// A layer with the sizes and places of everything that goes into it.
type private Case =
    { Binary: bool
      Standardised: bool
      Around: Around
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

/// What goes into a layer; the leaves with their names are what gradients are looked at for.
type private Inputs =
    { X: torch.Tensor
      Shortcut: torch.Tensor option
      Parameters: BinaryLayerParameters
      Leaves: (string * torch.Tensor) list }

let private beta, private factor = 0.9f, 0.4f

let private optionsIn precision (case: Case) =
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

let private options = optionsIn FusedPrecision.Float32

let private inputs (seed: int64) (case: Case) =
    let seed = 1000L * seed
    let height, width = case.OutSide
    let leaf, x = map case.Input seed (case.Batch, case.In, fst case.Side, snd case.Side)

    let shortcut =
        match case.Around with
        | Given -> Some(map case.Input (seed + 1L) (case.Batch, case.Out, height, width))
        | _ -> None

    let ofEach first shape factor offset =
        [ for i, out in List.indexed case.Outs -> parameter (seed + first + int64 i) factor offset (shape out) ]

    // Up to 1.5: some are beyond the ±1 at which a binary weight's gradient ends.
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

let private apply options (inputs: Inputs) =
    let shortcut: torch.Tensor | null = Option.toObj inputs.Shortcut
    BinaryLayer.Apply(options, inputs.X, shortcut, inputs.Parameters)

let private fused case inputs = apply (options case) inputs

/// α·(w ∗ sign(β·x + b)) by the composite layers.
let private compositeConvolution (case: Case) (x: torch.Tensor) (parameters: BinaryLayerParameters) =
    let signs = ApproximateSign.Apply(LearnableShift.Apply(x.Times(float beta), parameters.Shift))

    let options =
        ConvolutionOptions(case.Stride, case.Kernel / 2, case.Standardised, case.Binary, float factor)

    let results =
        [| for i in 0 .. case.Outs.Length - 1 ->
               let gain: torch.Tensor | null = if case.Standardised then parameters.Gains[i] else null
               let mutable options = options
               Convolution.Apply(signs, parameters.Weights[i], gain, &options) |]

    torch.cat (results, 1L)

/// The layer's result, and the argument of its activation.
let private composite (case: Case) (inputs: Inputs) =
    let branch = compositeConvolution case inputs.X inputs.Parameters

    let around =
        match inputs.Shortcut with
        | Some shortcut -> shortcut
        | None -> torch.cat (Array.replicate (case.Out / case.In) inputs.X, 1L)

    let activation = inputs.Parameters.Activation
    let sum = branch.Plus around
    RPReLU.Apply(sum, activation[0], activation[1], activation[2]), LearnableShift.Apply(sum, activation[0])

/// Whether no argument is so near its kink that rounding could bring it to the other side.
let private awayFromKinks (arguments: torch.Tensor) =
    let sizes = Agreement.values arguments |> Array.map abs
    Array.min sizes > margin * Array.max sizes

/// The first seed's inputs at which nothing lies at a kink.
let private settled seed make (arguments: 'inputs -> torch.Tensor) =
    Seq.initInfinite (fun i -> make (seed + int64 i))
    |> Seq.truncate 20
    |> Seq.tryFind (fun inputs ->
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        awayFromKinks (arguments inputs))
    |> Option.defaultWith (fun () -> failtest "every seed has an argument at its kink")

let private close tolerance what (actual: torch.Tensor) (expected: torch.Tensor) =
    Expect.sequenceEqual actual.shape expected.shape $"{what}: shape"
    let actual, expected = Agreement.values actual, Agreement.values expected
    let largest = expected |> Array.map abs |> Array.max
    let worst = Array.map2 (fun (a: float) e -> abs (a - e)) actual expected |> Array.max

    // Written so that NaN fails.
    if not (worst <= tolerance * largest) then
        failtest $"{what}: differs by {worst} where the largest value is {largest}"

let private bytes (tensor: torch.Tensor) =
    use _ = torch.NewDisposeScope()
    tensor.detach().contiguous().bytes.ToArray()

let private sameBits what actual expected = Expect.isTrue (bytes actual = bytes expected) $"{what}: the same bits"

/// A backward pass of a result, with the gradient in a given layout; what failed in it is thrown.
let private backward layout (y: torch.Tensor) =
    let side axis = int (y.size axis)
    let _, gradient = map layout 99L (side 0, side 1, side 2, side 3)
    y.backward [| gradient.detach () |]
    FusedBackward.End()

let private gradientsOf (inputs: Inputs) = [ for name, leaf in inputs.Leaves -> name, Agreement.gradient leaf ]

let private gradientsAgree what actual expected =
    for (name, actual), (_, expected) in List.zip (gradientsOf actual) (gradientsOf expected) do
        close gradients $"{what}, gradient of {name}" actual expected

/// Everything that a layer can be, with layouts and sizes in their turns.
let private cases (binary, standardised, around) =
    let channels =
        match around with
        | Itself -> [ 1, [ 1 ]; 7, [ 7 ]; 64, [ 64 ]; 64 + 3, [ 64 + 3 ]; 16, [ 8; 8 ] ]
        | Repeated -> [ 1, [ 2 ]; 7, [ 7; 7 ]; 32, [ 32; 32 ]; 64 + 3, [ 2 * (64 + 3) ]; 8, [ 8; 16 ] ]
        | Given -> [ 1, [ 5 ]; 5, [ 1 ]; 64, [ 64 + 5 ]; 64 + 3, [ 32 + 1 ]; 8, [ 3; 9; 1 ] ]

    let sizes =
        [ for kernel in [ 1; 3 ] do
              for stride in (if around = Given then [ 1; 2 ] else [ 1 ]) do
                  for batch in [ 1; 3 ] do
                      for channels in channels -> kernel, stride, batch, channels ]

    [ for i, (kernel, stride, batch, (input, outs)) in List.indexed sizes do
          // A filter of one weight has no deviation to be divided by: it is rounding noise.
          if not (standardised && kernel = 1 && input = 1) then
              { Binary = binary
                Standardised = standardised
                Around = around
                Kernel = kernel
                Stride = stride
                In = input
                Outs = outs
                Batch = batch
                Side = 6, 5
                Input = layouts[i % 5]
                Gradient = layouts[(i / 5 + i) % 5] } ]

let private everyKind =
    [ for binary in [ false; true ] do
          for standardised in [ false; true ] do
              for around in [ Itself; Repeated; Given ] -> binary, standardised, around ]

let private words (binary, standardised, around) =
    let weights = if binary then "binary" else "real"
    let filters = if standardised then "standardised" else "plain"
    $"{weights} weights, {filters} filters, shortcut {around}"

/// One case of every kind of layer, of middling size.
let private typical =
    [ for kind in everyKind do
          let case = (cases kind)[7]
          words kind, { case with Kernel = 3; Batch = 3 } ]

let private agreement =
    [ for kind in everyKind do
          test $"a layer equals the composite one: {words kind}" {
              for i, case in List.indexed (cases kind) do
                  use _ = torch.NewDisposeScope()
                  let make seed = inputs seed case
                  let ours = settled (int64 (20 * i)) make (fun inputs -> snd (composite case inputs))
                  let theirs = settled (int64 (20 * i)) make (fun inputs -> snd (composite case inputs))
                  let y = fused case ours
                  let expected, _ = composite case theirs
                  close values $"{case}" y expected
                  backward case.Gradient y
                  backward case.Gradient expected
                  gradientsAgree $"{case}" ours theirs
          }

          test $"a convolution equals the composite one: {words kind}" {
              for i, case in List.indexed (cases kind) do
                  use _ = torch.NewDisposeScope()

                  let make () =
                      let inputs = inputs (int64 (20 * i)) case
                      let unused = [ "shortcut"; "b1"; "slope"; "b2" ]

                      { inputs with
                          Leaves = inputs.Leaves |> List.filter (fun (name, _) -> not (List.contains name unused)) }

                  let ours, theirs = make (), make ()
                  let y = BinaryConvolution.Apply(options case, ours.X, ours.Parameters)
                  let expected = compositeConvolution case theirs.X theirs.Parameters
                  close values $"{case}" y expected
                  backward case.Gradient y
                  backward case.Gradient expected
                  gradientsAgree $"{case}" ours theirs
          } ]

let private activation =
    [ for around in [ Itself; Given ] do
          test $"an activation behind a sum equals the composite one: shortcut {around}" {
              for i, case in List.indexed (cases (false, false, Given)) do
                  use _ = torch.NewDisposeScope()

                  let make seed =
                      let inputs = inputs seed case
                      let height, width = case.OutSide
                      let leaf, branch = map case.Gradient (7L * seed) (case.Batch, case.Out, height, width)
                      let shortcut = if around = Itself then branch else Option.get inputs.Shortcut
                      let used = (if around = Given then [ "shortcut" ] else []) @ [ "b1"; "slope"; "b2" ]
                      let leaves = inputs.Leaves |> List.filter (fun (name, _) -> List.contains name used)

                      { inputs with X = branch; Shortcut = Some shortcut; Leaves = ("branch", leaf) :: leaves }

                  let sum inputs = inputs.X.Plus(Option.get inputs.Shortcut)
                  let arguments inputs = LearnableShift.Apply(sum inputs, inputs.Parameters.Activation[0])
                  let ours, theirs = settled (int64 (20 * i)) make arguments, settled (int64 (20 * i)) make arguments

                  let y =
                      ResidualRPReLU.Apply("the layer", ours.X, Option.get ours.Shortcut, ours.Parameters.Activation)

                  let p = theirs.Parameters.Activation
                  let expected = RPReLU.Apply(sum theirs, p[0], p[1], p[2])
                  close values $"{case}" y expected
                  backward case.Gradient y
                  backward case.Gradient expected
                  gradientsAgree $"{case}" ours theirs
          }

      test "branch and shortcut own their gradients: a second backward pass adds to each once" {
          use _ = torch.NewDisposeScope()

          let leaf seed =
              let _, values = map ChannelsLast seed (2, 8, 4, 4)
              values.detach().requires_grad_ true

          let branch, shortcut = leaf 1L, leaf 2L
          let parameters = (inputs 3L { snd typical.Head with In = 8; Outs = [ 8 ] }).Parameters.Activation

          for _ in 1..2 do
              ResidualRPReLU.Apply("the layer", branch, shortcut, parameters) |> backward ChannelsLast

          let once = Agreement.gradient (parameters[2])
          Expect.isTrue (once.numel () > 0L) "gradients"
          sameBits "branch and shortcut" (Agreement.gradient branch) (Agreement.gradient shortcut)
          let twice = Agreement.gradient branch |> Agreement.values
          branch.grad <- null
          ResidualRPReLU.Apply("the layer", branch, shortcut, parameters) |> backward ChannelsLast
          let single = Agreement.gradient branch |> Agreement.values
          Expect.equal twice (Array.map (fun g -> 2.0 * g) single) "twice the gradient of one pass"
      } ]

// ---- Shortcuts ----

/// bfloat16 has 8 bits, and both operands are rounded.
let private ofBFloat16 = 2e-2

let private shortcuts =
    [ for kernel in [ 1; 2; 3 ] do
          test $"pooling by {kernel} equals the composite one" {
              for i, (c, (h, w)) in List.indexed (List.allPairs [ 1; 7; 64; 64 + 3 ] [ 6, 6; 7, 5; 3, 3 ]) do
                  for layout in layouts do
                      use _ = torch.NewDisposeScope()
                      let ours, x = map layout (int64 i) (2, c, h, w)
                      let theirs, same = map layout (int64 i) (2, c, h, w)
                      let y = PooledShortcut.Apply("pool", x, 0.9, kernel)
                      let expected = torch.nn.functional.avg_pool2d (same.Times 0.9, kernel, kernel)
                      let what = $"{c} channels, {h}×{w}, {layout}"
                      close values what y expected
                      backward layouts[i % 5] y
                      backward layouts[i % 5] expected
                      close gradients $"{what}, gradient" (Agreement.gradient ours) (Agreement.gradient theirs)

                      let evaluated =
                          use _ = torch.no_grad ()
                          PooledShortcut.Apply("pool", x, 0.9, kernel)

                      sameBits "without gradients" evaluated y
          }

      for standardised in [ false; true ] do
          let options (c: int) (o: int) =
              BinaryConvolutionOptions("the shortcut", c, [| o |], 1, 1, 0, 1.0f, standardised, true, factor)

          let make seed layout (c: int) (o: int) =
              let leaf, x = map layout seed (3, c, 5, 6)
              let weight = parameter (seed + 1L) 1.0f 0.01f [ o; c; 1; 1 ]

              let gain =
                  if standardised then
                      Some(parameter (seed + 2L) 0.5f 1.0f [ o; 1; 1; 1 ])
                  else
                      None

              x, weight, gain, [ leaf; weight ] @ Option.toList gain

          let ours x weight gain (c: int) (o: int) =
              let gain: torch.Tensor | null = Option.toObj gain
              BinaryFilterConvolution.Apply(options c o, x, weight, gain)

          test $"real maps times binary filters equal the composite convolution: standardised {standardised}" {
              for i, (c, o) in List.indexed (List.allPairs [ 5; 32 - 1; 64; 64 + 3 ] [ 1; 32 + 1; 64; 128 + 3 ]) do
                  use _ = torch.NewDisposeScope()
                  let x, weight, gain, leaves = make (int64 i) layouts[i % 5] c o
                  let y = ours x weight gain c o
                  let same, weight, gain, expectedLeaves = make (int64 i) layouts[i % 5] c o
                  let composite = ConvolutionOptions(1, 0, standardised, true, float factor)
                  let gain: torch.Tensor | null = Option.toObj gain
                  let expected = Convolution.Apply(same, weight, gain, &composite)
                  let what = $"{c} to {o} channels"
                  close values what y expected
                  backward layouts[i / 4 % 5] y
                  backward layouts[i / 4 % 5] expected

                  for actual, expected in List.zip leaves expectedLeaves do
                      close gradients $"{what}, gradient" (Agreement.gradient actual) (Agreement.gradient expected)
          }

          test $"a shortcut's convolution refuses what does not fit: standardised {standardised}" {
              use _ = torch.NewDisposeScope()
              let x, weight, gain, _ = make 1L Contiguous 8 6

              for refused in
                  [ fun () -> ours (x.``to`` torch.ScalarType.Float64) weight gain 8 6
                    fun () -> ours x (weight.``to`` torch.ScalarType.Float64) gain 8 6
                    fun () -> ours (x.narrow (1L, 0L, 7L)) weight gain 8 6
                    fun () -> ours x (weight.narrow (0L, 0L, 5L)) gain 8 6
                    fun () -> ours x weight (if standardised then None else Some weight) 8 6 ] do
                  let message =
                      Expect.throwsC (refused >> ignore) (fun failure ->
                          Expect.equal (failure.GetType()) typeof<ArgumentException> "type"
                          failure.Message)

                  Expect.stringContains message "the shortcut" "the message"
          }

      test "maps of doubles are not pooled" {
          use _ = torch.NewDisposeScope()
          let _, x = map Contiguous 1L (1, 4, 4, 4)

          Expect.throwsT<ArgumentException>
              (fun () -> PooledShortcut.Apply("pool", x.``to`` torch.ScalarType.Float64, 1.0, 2) |> ignore)
              "doubles"

          Expect.isTrue (torch.is_grad_enabled ()) "gradients are still recorded"
      }

      test "a real convolution in bfloat16 is the float32 one, but for its rounding" {
          use _ = torch.NewDisposeScope()
          let leaf, x = map ChannelsLast 1L (2, 16, 6, 6)
          let same, copy = map ChannelsLast 1L (2, 16, 6, 6)
          let weight, weightToo = parameter 2L 0.2f 0.0f [ 8; 16; 3; 3 ], parameter 2L 0.2f 0.0f [ 8; 16; 3; 3 ]
          let options = ConvolutionOptions(1, 1)
          let y = RealConvolution.InBFloat16(x, weight, null, &options)
          let expected = Convolution.Apply(copy, weightToo, null, &options)
          Expect.equal y.dtype torch.ScalarType.Float32 "type"
          close ofBFloat16 "y" y expected
          backward ChannelsLast y
          backward ChannelsLast expected
          close ofBFloat16 "dx" (Agreement.gradient leaf) (Agreement.gradient same)
          close ofBFloat16 "dw" (Agreement.gradient weight) (Agreement.gradient weightToo)
      }

      for name, case in typical do
          test $"a layer in bfloat16 is the float32 one, but for its rounding: {name}" {
              use _ = torch.NewDisposeScope()
              // Gradients jump where rounding crosses a kink, and bfloat16 crosses many.
              let inputs = inputs 1L case
              let y = apply (optionsIn FusedPrecision.BFloat16 case) inputs
              Expect.equal y.dtype torch.ScalarType.Float32 "type"
              close ofBFloat16 "y" y (fused case inputs)
              backward case.Gradient y

              for name, gradient in gradientsOf inputs do
                  Expect.all (Agreement.values gradient) Double.IsFinite name
          } ]

// ---- Modes ----

let private run (case: Case) inputs =
    let y = fused case inputs
    backward case.Gradient y
    y

/// Two layers, one behind the other: the second one's result and the arguments of both activations, or its sign.
let private twoLayers (case: Case) =
    let first = { case with Around = Itself; Stride = 1; In = 16; Outs = [ 16 ] }
    let second = { first with Kernel = 1; Around = Repeated; Outs = [ 16; 16 ] }
    first, second

let private modes =
    [ for name, case in typical do
          test $"without gradients a layer has the same values, bit by bit: {name}" {
              use _ = torch.NewDisposeScope()
              let inputs = inputs 1L case
              let training = fused case inputs
              Expect.isTrue training.requires_grad "with gradients"

              let evaluated =
                  use _ = torch.no_grad ()
                  fused case inputs

              Expect.isFalse evaluated.requires_grad "without"
              sameBits "no_grad" evaluated training

              for _, leaf in inputs.Leaves do
                  leaf.requires_grad <- false

              let frozen =
                  fused case { inputs with X = inputs.X.detach (); Shortcut = inputs.Shortcut |> Option.map _.detach() }

              Expect.isFalse frozen.requires_grad "frozen"
              sameBits "nothing requires gradients" frozen training
          }

          test $"parameters need not lie side by side: {name}" {
              use _ = torch.NewDisposeScope()
              let plain, strewn = inputs 7L case, inputs 7L case

              let spread (parameter: torch.Tensor) =
                  torch.stack([| parameter; parameter.detach().neg() |], -1L).select(-1L, 0L)

              let p = strewn.Parameters
              let all tensors = tensors |> Seq.map spread |> Seq.toArray
              let parameters = BinaryLayerParameters(spread p.Shift, all p.Weights, all p.Gains, all p.Activation)
              sameBits "y" (run case { strewn with Parameters = parameters }) (run case plain)

              for (name, a), (_, b) in List.zip (gradientsOf strewn) (gradientsOf plain) do
                  sameBits name a b
          }

          test $"what is frozen gets no gradient, and changes nobody else's: {name}" {
              use _ = torch.NewDisposeScope()
              let all = inputs 2L case
              run case all |> ignore
              let names: string list = List.map fst all.Leaves

              for frozen in [ for name in names -> [ name ] ] @ [ for name in names -> List.except [ name ] names ] do
                  let some = inputs 2L case

                  for name, leaf in some.Leaves do
                      if List.contains name frozen then
                          leaf.requires_grad <- false

                  // What was made of x before it was frozen still wants a gradient.
                  let some = if List.contains "x" frozen then { some with X = some.X.detach () } else some

                  let some =
                      if List.contains "shortcut" frozen then
                          { some with Shortcut = some.Shortcut |> Option.map _.detach() }
                      else
                          some

                  run case some |> ignore

                  for (name, leaf), (_, whole) in List.zip some.Leaves all.Leaves do
                      if List.contains name frozen then
                          Expect.isNull leaf.grad $"{name}, frozen {frozen}"
                      else
                          sameBits $"{name}, frozen {frozen}" (Agreement.gradient leaf) (Agreement.gradient whole)
          }

          test $"the same step twice has the same bits: {name}" {
              use _ = torch.NewDisposeScope()
              let one, two = inputs 3L case, inputs 3L case
              sameBits "y" (run case one) (run case two)

              for (name, a), (_, b) in List.zip (gradientsOf one) (gradientsOf two) do
                  sameBits name a b
          }

          test $"two layers, one behind the other: {name}" {
              use _ = torch.NewDisposeScope()
              let first, second = twoLayers case

              let make seed =
                  let one, two = inputs seed first, inputs (seed + 500L) second

                  one,
                  two,
                  [ for name, leaf in one.Leaves -> "first " + name, leaf ]
                  @ [ for name, leaf in two.Leaves.Tail -> "second " + name, leaf ]

              let compose (one, two, _) =
                  let y, arguments = composite first one
                  let z, more = composite second { two with X = y }
                  let signs = LearnableShift.Apply(y.Times(float beta), two.Parameters.Shift)
                  z, torch.cat ([| for part in [ arguments; more; signs ] -> part.reshape -1L |], 0L)

              let ours, theirs = settled 4L make (compose >> snd), settled 4L make (compose >> snd)
              let one, two, leaves = ours
              let y = fused second { two with X = fused first one }
              let expected, _ = compose theirs
              close values "y" y expected
              backward ChannelsLast y
              backward ChannelsLast expected
              let _, _, expectedLeaves = theirs
              gradientsAgree "two layers" { one with Leaves = leaves } { one with Leaves = expectedLeaves }
          }

          test $"gradients of two halves of a batch add up to those of the batch: {name}" {
              use _ = torch.NewDisposeScope()
              let case = { case with Batch = 4; Input = Contiguous; Gradient = Contiguous }
              let whole, halves = inputs 5L case, inputs 5L case
              run case whole |> ignore
              let height, width = case.OutSide
              let _, gradient = map Contiguous 99L (4, case.Out, height, width)

              for first in [ 0L; 2L ] do
                  let half (map: torch.Tensor) = map.narrow (0L, first, 2L)
                  let y = fused case { halves with X = half halves.X; Shortcut = Option.map half halves.Shortcut }
                  y.backward [| (half gradient).detach() |]
                  FusedBackward.End()

              gradientsAgree "two halves" halves whole
          } ]

// ---- What goes wrong ----

/// The message of the ArgumentException that an action throws; what follows it still records gradients.
let private refusal action =
    let message =
        try
            action () |> ignore
            failtest "nothing was refused"
        with :? ArgumentException as e ->
            e.Message

    Expect.isTrue (torch.is_grad_enabled ()) "gradients are still recorded"
    message

let private says parts (message: string) =
    for part: string in parts do
        Expect.stringContains message part "the message"

let private real =
    { (cases (false, true, Given))[8] with Kernel = 3; Stride = 1; Batch = 2; In = 8; Outs = [ 6 ] }

/// The inputs with one of their tensors changed.
let private changed change (inputs: Inputs) =
    let p = inputs.Parameters

    let all change (tensors: System.Collections.Generic.IReadOnlyList<torch.Tensor>) =
        tensors |> Seq.map change |> Seq.toArray

    match change with
    | "x", change -> { inputs with X = change inputs.X }
    | "shortcut", change -> { inputs with Shortcut = Option.map change inputs.Shortcut }
    | "shift", change ->
        { inputs with Parameters = BinaryLayerParameters(change p.Shift, p.Weights, p.Gains, p.Activation) }
    | "weight", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, all change p.Weights, p.Gains, p.Activation) }
    | "gain", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, p.Weights, all change p.Gains, p.Activation) }
    | "activation", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, p.Weights, p.Gains, all change p.Activation) }
    | name, _ -> failwith name

let private tensors = [ "x"; "shortcut"; "shift"; "weight"; "gain"; "activation" ]
let private toDouble (tensor: torch.Tensor) = tensor.``to`` torch.ScalarType.Float64

let private refusals =
    [ for binary in [ false; true ] do
          for name in tensors do
              test $"{name} of doubles is refused in the forward pass, binary weights {binary}" {
                  use _ = torch.NewDisposeScope()
                  let case = { real with Binary = binary }

                  let inputs = changed (name, toDouble) (inputs 1L case)
                  refusal (fun () -> fused case inputs) |> says [ "Float32"; "Float64" ]
              }

          for what, name, change in
              [ "with a channel too few", "x", (fun (x: torch.Tensor) -> x.narrow (1L, 0L, x.size 1 - 1L))
                "with rows too few", "x", (fun x -> x.narrow (2L, 0L, x.size 2 - 2L))
                "with two axes", "x", (fun x -> x.reshape (x.size 0, -1L))
                "with an image too few", "shortcut", (fun shortcut -> shortcut.narrow (0L, 0L, 1L))
                "turned around", "shortcut", (fun shortcut -> shortcut.transpose (2L, 3L))
                "with channels too few", "shift", (fun shift -> shift.narrow (1L, 0L, 3L))
                "with taps too few", "weight", (fun weight -> weight.narrow (2L, 0L, 1L))
                "with filters too few", "weight", (fun weight -> weight.narrow (0L, 0L, 3L))
                "with filters too few", "gain", (fun gain -> gain.narrow (0L, 0L, 1L))
                "with channels too few", "activation", (fun parameter -> parameter.reshape(-1L).narrow(0L, 0L, 2L)) ] do
              test $"{name} {what} is refused, binary weights {binary}" {
                  use _ = torch.NewDisposeScope()
                  let case = { real with Binary = binary }
                  let inputs = changed (name, change) (inputs 1L case)
                  refusal (fun () -> fused case inputs) |> says [ "the layer" ]
              }

      for around, stride, outs, said in
          [ Itself, 1, [ 12 ], "8×6×5 do not repeat to 12×6×5"; Itself, 2, [ 8 ], "to 8×3×3" ] do
          test $"x is refused as the shortcut to {outs} channels with stride {stride}" {
              use _ = torch.NewDisposeScope()
              let case = { real with Around = around; Stride = stride; Outs = outs }
              refusal (fun () -> fused case (inputs 1L case)) |> says [ said; "another shortcut" ]
          }

      test "gains without standardisation are refused, and the other way round" {
          use _ = torch.NewDisposeScope()

          for standardised in [ false; true ] do
              let inputs = inputs 1L { real with Standardised = not standardised }
              refusal (fun () -> fused { real with Standardised = standardised } inputs) |> says [ "gains" ]
      }

      test "a branch and a shortcut of different sizes are refused" {
          use _ = torch.NewDisposeScope()
          let inputs = inputs 1L real
          let branch = Option.get inputs.Shortcut
          // As many values, in another order.
          let turned = branch.transpose (2L, 3L)

          let apply branch shortcut () =
              ResidualRPReLU.Apply("the layer", branch, shortcut, inputs.Parameters.Activation)

          refusal (apply branch turned) |> says [ "the layer"; "shortcut" ]
          refusal (apply branch (branch.narrow (1L, 0L, 5L))) |> says [ "the layer"; "shortcut" ]
          let narrow = branch.narrow (1L, 0L, 5L)
          refusal (apply narrow narrow) |> says [ "the layer"; "activation" ]
      }

      test "a branch of doubles is refused" {
          use _ = torch.NewDisposeScope()
          let inputs = inputs 1L real
          let shortcut = Option.get inputs.Shortcut

          for branch, shortcut in [ toDouble shortcut, shortcut; shortcut, toDouble shortcut ] do
              refusal (fun () -> ResidualRPReLU.Apply("the layer", branch, shortcut, inputs.Parameters.Activation))
              |> says [ "Float32"; "Float64" ]
      } ]

let private failures =
    [ for name, case in typical do
          test $"a backward pass that fails is thrown afterwards, once, and the process goes on: {name}" {
              use _ = torch.NewDisposeScope()
              let inputs = inputs 1L case
              let y = fused case inputs
              let gradient = torch.ones_like y
              y.backward ([| gradient |], retain_graph = true)
              FusedBackward.End()
              // The layer's state went with the first pass.
              y.backward [| gradient |]

              let failure =
                  Expect.throwsC (fun () -> FusedBackward.End()) (fun failure ->
                      Expect.equal (failure.GetType()) typeof<InvalidOperationException> "type"
                      failure)

              says [ "backward"; "the layer" ] failure.Message
              Expect.isNotNull failure.InnerException "its cause"
              FusedBackward.End()
              // What comes next is as if nothing had been.
              let again = NormFree.Tests.Golden.Agreement.values (run case inputs)
              Expect.equal again (Agreement.values y) "the next pass"
          }

          test $"a second derivative is refused afterwards: {name}" {
              use _ = torch.NewDisposeScope()
              let y = fused case (inputs 1L case)
              y.backward ([| torch.ones_like y |], create_graph = true)

              Expect.throwsC (fun () -> FusedBackward.End()) (fun failure ->
                  says [ "the layer"; "second derivative"; "composite engine" ] failure.Message)
          } ]

// ---- The process ----

/// Tensors alive once finalisers have run.
let private alive () =
    for _ in 1..3 do
        GC.Collect()
        GC.WaitForPendingFinalizers()

    torch.Tensor.TotalCount

let private step seed case =
    use _ = torch.NewDisposeScope()
    run case (inputs seed case) |> ignore

/// They look at all tensors of the process, or at its threads: nothing else may run beside them.
let private sequenced =
    [ for name, case in typical do
          test $"steps leave no tensor behind: {name}" {
              step 1L case
              let before = alive ()

              for seed in 2L .. 11L do
                  step seed case

              Expect.equal torch.Tensor.TotalCount before "tensors, without a collection"
          }

          test $"a forward pass that no backward pass follows leaves nothing behind after a collection: {name}" {
              let forward seed =
                  use _ = torch.NewDisposeScope()
                  fused case (inputs seed case) |> ignore

              forward 1L
              let before = alive ()

              for seed in 2L .. 11L do
                  forward seed

              Expect.equal (alive ()) before "tensors"
          }

          test $"evaluation leaves no tensor behind: {name}" {
              use _ = torch.NewDisposeScope()
              use _ = torch.no_grad ()
              let inputs = inputs 1L case
              fused case inputs |> _.Dispose()
              let before = alive ()

              for _ in 1..10 do
                  fused case inputs |> _.Dispose()

              Expect.equal torch.Tensor.TotalCount before "tensors, without a collection"
          }

      for binary in [ false; true ] do
          for standardised in [ false; true ] do
              test $"one thread and two give the same bits: binary weights {binary}, standardised {standardised}" {
                  use _ = torch.NewDisposeScope()

                  let case =
                      { real with
                          Binary = binary
                          Standardised = standardised
                          Around = Itself
                          In = 64 + 3
                          Outs = [ 64 + 3 ]
                          Batch = 4
                          Side = 24, 25 }

                  let withThreads threads =
                      let before = torch.get_num_threads ()
                      torch.set_num_threads threads

                      try
                          let inputs = inputs 6L case
                          let y = run case inputs
                          ("y", y) :: gradientsOf inputs
                      finally
                          torch.set_num_threads before

                  for (name, one), (_, two) in List.zip (withThreads 1) (withThreads 2) do
                      // The input's gradient through real weights is libtorch's convolution, which shares its sums out among threads.
                      if binary || not (List.contains name [ "x"; "b" ]) then
                          sameBits name one two
                      else
                          close gradients name one two
              } ]

let tests =
    testList
        "fused layers"
        [ testList "agreement" agreement
          testList "activation" activation
          testList "shortcuts" shortcuts
          testList "modes" modes
          testList "refusals" refusals
          testList "failures" failures
          testSequenced (testList "process" sequenced) ]
