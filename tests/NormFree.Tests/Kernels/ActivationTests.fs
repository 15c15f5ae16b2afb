/// Residual activation, sign gradient, channel scale and pooling against their formulas.
module NormFree.Tests.Kernels.ActivationTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Activations
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Tolerance of float32 sums over pixels, relative to the sum of absolute values.
let private sumRounding = 1e-6

/// Tolerance of a value whose steps are rounded in another order.
let private lastBits = 5e-7

/// Sizes around multiples of vectors (4, 8, 16) and of words (64).
let private channels =
    [ 1; 3; 4; 4 + 3; 8; 8 + 7; 16; 16 + 1; 32 - 1; 32; 32 + 1; 64; 64 + 1; 64 + 32; 128 + 3 ]

let private pixels = [ 0; 1; 2; 5 ]

/// Compares bit by bit; all NaNs are equal.
let private exact what (actual: float32[]) (expected: float32[]) =
    let oneNaN = Array.map (fun v -> if Single.IsNaN v then nanf else v)
    sameBits what (oneNaN actual) (oneNaN expected)

// ---- Residual activation ----

type private Layer =
    { Pixels: int
      Channels: int
      ShortcutChannels: int
      ShiftIn: float32[]
      Slope: float32[]
      ShiftOut: float32[]
      Accumulators: int[]
      Scale: float32[]
      Branch: float32[]
      Shortcut: float32[] }

let private layer seed pixels channels shortcutChannels =
    let stream = RandomStream.OfKeys(11L, seed)
    let reals = Shapes.reals

    { Pixels = pixels
      Channels = channels
      ShortcutChannels = shortcutChannels
      ShiftIn = reals (seed + 1L) channels
      Slope = reals (seed + 2L) channels
      ShiftOut = reals (seed + 3L) channels
      Accumulators = Array.init (pixels * channels) (fun _ -> stream.Below 9217 - 4608)
      Scale = reals (seed + 4L) channels |> Array.map (fun s -> s * 1e-3f)
      Branch = reals (seed + 5L) (pixels * channels)
      Shortcut = reals (seed + 6L) (pixels * shortcutChannels) }

/// All combinations of channels and pixels, with shortcuts that repeat up to three times.
let private layers =
    [ for c in channels do
          for p in pixels do
              for repeats in [ 1; 2; 3 ] do
                  layer (int64 (100 * c + p)) p (c * repeats) c ]

/// z and y of a sum, with each step rounded to float32.
let private activated layer (sum: float32[]) =
    let shifted = sum |> Array.mapi (fun i u -> u + layer.ShiftIn[i % layer.Channels])

    let result =
        shifted
        |> Array.mapi (fun i z ->
            let channel = i % layer.Channels
            // Rounded to float32 before the sum.
            let below: float32 = layer.Slope[channel] * z
            (if z > 0.0f then z else below) + layer.ShiftOut[channel])

    shifted, result

let private shortcutOf layer i =
    layer.Shortcut[i / layer.Channels * layer.ShortcutChannels + i % layer.Channels % layer.ShortcutChannels]

let private sumOfAccumulators layer =
    layer.Accumulators
    |> Array.mapi (fun i count ->
        let scaled: float32 = float32 count * layer.Scale[i % layer.Channels]
        scaled + shortcutOf layer i)

let private sumOfBranch layer = layer.Branch |> Array.mapi (fun i branch -> branch + shortcutOf layer i)

/// Passes a layer's parameters in guarded memory.
let private withParameters layer (call: RPReLUParameters -> unit) =
    use shiftIn = new Guarded<float32>(layer.ShiftIn)
    use slope = new Guarded<float32>(layer.Slope)
    use shiftOut = new Guarded<float32>(layer.ShiftOut)
    call (RPReLUParameters(layer.Channels, shiftIn.Pointer, slope.Pointer, shiftOut.Pointer))

/// Which buffer receives the sum.
type private SumBuffer =
    | Separate
    | Branch
    | Result

let private forward set layer useAccumulators buffer =
    let size = layer.Pixels * layer.Channels
    use accumulators = new Guarded<int>(layer.Accumulators)
    use scale = new Guarded<float32>(layer.Scale)
    use branch = new Guarded<float32>(layer.Branch)
    use shortcut = new Guarded<float32>(layer.Shortcut)
    use own = new Guarded<float32>(size, 4)
    use result = new Guarded<float32>(size, 8)

    let sum =
        match buffer with
        | Separate -> own
        | Branch -> branch
        | Result -> result

    let kernel = ResidualActivation.For set

    withParameters layer (fun parameters ->
        let mutable parameters = parameters

        if useAccumulators then
            kernel.Forward(
                layer.Pixels,
                &parameters,
                accumulators.Pointer,
                scale.Pointer,
                shortcut.Pointer,
                layer.ShortcutChannels,
                sum.Pointer,
                result.Pointer
            )
        else
            kernel.Forward(
                layer.Pixels,
                &parameters,
                branch.Pointer,
                shortcut.Pointer,
                layer.ShortcutChannels,
                sum.Pointer,
                result.Pointer
            ))

    for guarded in [ branch; own; result ] do
        guarded.Check()

    sum.Values, result.Values

let private backward set layer (sum: float32[]) (gradient: float32[]) =
    use sums = new Guarded<float32>(sum)
    use dy = new Guarded<float32>(gradient)
    use du = new Guarded<float32>(sum.Length, 4)
    use parameterGradients = new Guarded<float32>(3 * layer.Channels, 8)
    parameterGradients.Span.Fill nanf
    let kernel = ResidualActivation.For set

    withParameters layer (fun parameters ->
        let mutable parameters = parameters
        kernel.Backward(layer.Pixels, &parameters, sums.Pointer, dy.Pointer, du.Pointer, parameterGradients.Pointer))

    du.Check()
    parameterGradients.Check()
    du.Values, parameterGradients.Values

/// Sums by channel, with the sums of absolute values.
let private byChannel layer (values: float[]) =
    [| for channel in 0 .. layer.Channels - 1 ->
           let terms = [| for pixel in 0 .. layer.Pixels - 1 -> values[pixel * layer.Channels + channel] |]
           struct (Array.sum terms, Array.sumBy abs terms) |]

let private special =
    [| 0.0f; -0.0f; nanf; infinityf; -infinityf; Single.MaxValue; Single.Epsilon; -Single.Epsilon |]

let private withSpecial (values: float32[]) =
    values |> Array.mapi (fun i v -> if i % 3 = 0 then special[i / 3 % special.Length] else v)

let private activations =
    testList
        "residual activation"
        [ testEverySet "adds scaled accumulators and a shortcut, rounded step by step" (fun set ->
              for layer in layers do
                  let what = $"{layer.Pixels} pixels, {layer.ShortcutChannels} to {layer.Channels} channels"
                  let sum, result = forward set layer true Separate
                  let expected = sumOfAccumulators layer
                  exact $"u, {what}" sum expected
                  exact $"y, {what}" result (snd (activated layer expected)))

          testEverySet "adds a branch and a shortcut, rounded step by step" (fun set ->
              for layer in layers do
                  let what = $"{layer.Pixels} pixels, {layer.ShortcutChannels} to {layer.Channels} channels"
                  let expected = sumOfBranch layer

                  for buffer in [ Separate; Branch ] do
                      let sum, result = forward set layer false buffer
                      exact $"u in {buffer}, {what}" sum expected
                      exact $"y, u in {buffer}, {what}" result (snd (activated layer expected)))

          testEverySet "the result may overwrite the sum" (fun set ->
              for layer in layers do
                  for useAccumulators in [ true; false ] do
                      let _, result = forward set layer useAccumulators Result
                      let sum = if useAccumulators then sumOfAccumulators layer else sumOfBranch layer
                      exact $"y, {layer.Channels} channels" result (snd (activated layer sum)))

          testEverySet "du is exact, and the parameter gradients are its sums" (fun set ->
              for layer in layers do
                  let what = $"{layer.Pixels} pixels, {layer.Channels} channels"
                  let sum = sumOfBranch layer
                  let dy = Shapes.reals 17L sum.Length
                  let du, parameterGradients = backward set layer sum dy
                  let shifted, _ = activated layer sum

                  let expected =
                      dy
                      |> Array.mapi (fun i dy ->
                          if shifted[i] > 0.0f then dy else layer.Slope[i % layer.Channels] * dy)

                  exact $"du, {what}" du expected

                  let slopeTerms = Array.map2 (fun z dy -> if z > 0.0f then 0.0 else float z * float dy) shifted dy

                  Array.concat
                      [ byChannel layer (Array.map float expected)
                        byChannel layer slopeTerms
                        byChannel layer (Array.map float dy) ]
                  |> nearSums sumRounding $"db₁, dslope, db₂, {what}" parameterGradients)

          testEverySet "the parameter gradients are accurate over many pixels" (fun set ->
              let layer = layer 3L 5000 (16 + 1) (16 + 1)
              let sum = sumOfBranch layer
              let dy = Shapes.reals 18L sum.Length
              let _, parameterGradients = backward set layer sum dy
              let shiftOutGradient = Array.skip (2 * layer.Channels) parameterGradients
              // Errors of five thousand sequential additions.
              nearSums (20.0 * sumRounding) "db₂" shiftOutGradient (byChannel layer (Array.map float dy)))

          testEverySet "handles NaN, infinities and zeros as the formulas do" (fun set ->
              for c in channels do
                  let layer = layer 5L 5 c c

                  let layer =
                      { layer with
                          Branch = withSpecial layer.Branch
                          Shortcut = withSpecial (Array.rev layer.Shortcut) }

                  let expected = sumOfBranch layer
                  let sum, result = forward set layer false Separate
                  exact "u" sum expected
                  exact "y" result (snd (activated layer expected))
                  let dy = withSpecial (Shapes.reals 19L sum.Length)
                  let du, _ = backward set layer sum dy
                  let shifted, _ = activated layer expected

                  exact
                      "du"
                      du
                      (dy |> Array.mapi (fun i dy -> if shifted[i] > 0.0f then dy else layer.Slope[i % c] * dy))) ]

// ---- Sign gradient ----

/// Arguments at which the gradient of the sign changes, and special values.
let private edges =
    [| 1.0f
       -1.0f
       0.0f
       -0.0f
       MathF.BitDecrement 1.0f
       MathF.BitIncrement 1.0f
       MathF.BitIncrement -1.0f
       MathF.BitDecrement -1.0f
       0.5f
       -0.5f
       nanf
       infinityf
       -infinityf
       Single.MaxValue
       Single.MinValue
       Single.Epsilon |]

type private SignCase =
    { Pixels: int
      Channels: int
      Stride: int
      Repeats: int
      Beta: float32
      Input: float32[]
      Shift: float32[]
      Gradient: float32[]
      ShortcutGradient: float32[] }

let private signCase seed pixels channels stride repeats beta =
    { Pixels = pixels
      Channels = channels
      Stride = stride
      Repeats = repeats
      Beta = beta
      Input = Shapes.reals seed (pixels * channels)
      Shift = Shapes.reals (seed + 1L) channels |> Array.map (fun b -> 0.3f * b)
      Gradient = Shapes.reals (seed + 2L) (pixels * stride)
      ShortcutGradient = Shapes.reals (seed + 3L) (pixels * repeats * channels) }

let private signGradient set case =
    use input = new Guarded<float32>(case.Input)
    use shift = new Guarded<float32>(case.Shift)
    use gradient = new Guarded<float32>(case.Gradient)
    use shortcut = new Guarded<float32>(case.ShortcutGradient)
    use result = new Guarded<float32>(case.Input.Length, 4)
    use shiftGradient = new Guarded<float32>(case.Channels, 8)
    shiftGradient.Span.Fill nanf

    let mutable maps =
        SignBackwardMaps(
            Pixels = case.Pixels,
            Channels = case.Channels,
            Input = input.Pointer,
            Gradient = gradient.Pointer,
            GradientStride = case.Stride,
            ShortcutGradient = (if case.Repeats = 0 then NativePtr.nullPtr else shortcut.Pointer),
            ShortcutRepeats = case.Repeats,
            Result = result.Pointer
        )

    (SignBackward.For set).Backward(&maps, case.Beta, shift.Pointer, shiftGradient.Pointer)
    result.Check()
    shiftGradient.Check()
    result.Values, shiftGradient.Values

/// dt of every value: (2 − 2·|t|)·ds where |t| < 1, else 0; t is rounded as in sign packing.
let private expectedShiftedGradient case =
    case.Input
    |> Array.mapi (fun i x ->
        let pixel, channel = i / case.Channels, i % case.Channels
        let product: float32 = x * case.Beta
        let t: float32 = product + case.Shift[channel]

        if abs t < 1.0f then
            (2.0 - 2.0 * abs (float t)) * float case.Gradient[pixel * case.Stride + channel]
        else
            0.0)

let private expectedSign case =
    let shifted = expectedShiftedGradient case

    let inputGradient =
        shifted
        |> Array.mapi (fun i dt ->
            let pixel, channel = i / case.Channels, i % case.Channels

            let shortcuts =
                [ for repeat in 0 .. case.Repeats - 1 ->
                      float case.ShortcutGradient[(pixel * case.Repeats + repeat) * case.Channels + channel] ]

            let own = float case.Beta * dt
            struct (own + List.sum shortcuts, abs own + List.sumBy abs shortcuts))

    let shiftGradient =
        [| for channel in 0 .. case.Channels - 1 ->
               let terms = [| for pixel in 0 .. case.Pixels - 1 -> shifted[pixel * case.Channels + channel] |]
               struct (Array.sum terms, Array.sumBy abs terms) |]

    inputGradient, shiftGradient

let private signTests =
    testList
        "sign gradient"
        [ testEverySet "is (2 − 2·|t|)·β·ds plus the shortcut gradients" (fun set ->
              for c in channels do
                  for p in pixels do
                      for repeats in [ 0; 1; 2 ] do
                          for stride in [ c; (c + 63) / 64 * 64 ] do
                              for beta in [ 1.0f; 0.98058069f; -0.7f ] do
                                  let case = signCase (int64 (10 * c + p)) p c stride repeats beta
                                  let dx, db = signGradient set case
                                  let inputGradient, shiftGradient = expectedSign case
                                  let what = $"{p} pixels, {c} channels, stride {stride}, {repeats} shortcut repeats"
                                  nearSums lastBits $"dx, {what}" dx inputGradient
                                  nearSums sumRounding $"db, {what}" db shiftGradient)

          testEverySet "is 0 for |t| ≥ 1 and for NaN" (fun set ->
              for c in channels do
                  let count = (2 * edges.Length + c - 1) / c
                  let case = signCase 4L count c c 0 1.0f

                  let case =
                      { case with
                          Input = Array.init (count * c) (fun i -> edges[i % edges.Length])
                          Shift = Array.zeroCreate c
                          Gradient = Array.create (count * c) 3.0f }

                  let dx, _ = signGradient set case

                  let expected =
                      case.Input |> Array.map (fun t -> if abs t < 1.0f then 3.0f * (2.0f - 2.0f * abs t) else 0.0f)

                  Expect.equal dx expected $"{c} channels") ]

// ---- Channel scale and pooling ----

let private scaling =
    testList
        "scaling"
        [ testEverySet "ScaleIntegers multiplies integers by the scale of their channel" (fun set ->
              for c in channels do
                  for p in pixels do
                      let layer = layer (int64 c) p c c
                      use integers = new Guarded<int>(layer.Accumulators)
                      use scale = new Guarded<float32>(layer.Scale)
                      use values = new Guarded<float32>(p * c, 4)
                      (ChannelScale.For set).ScaleIntegers(p, c, integers.Pointer, scale.Pointer, values.Pointer)
                      values.Check()
                      let product i integer : float32 = float32 integer * layer.Scale[i % c]
                      exact $"{p} pixels, {c} channels" values.Values (Array.mapi product layer.Accumulators))

          testEverySet "ScaleFloats multiplies floats by the scale of their channel, for any pixel stride" (fun set ->
              for c in channels do
                  for p in pixels do
                      for stride in [ c; (c + 63) / 64 * 64 ] do
                          let source = Shapes.reals (int64 c) (p * stride)
                          let factors = Shapes.reals 3L c
                          use values = new Guarded<float32>(source)
                          use scale = new Guarded<float32>(factors)
                          use target = new Guarded<float32>(p * c, 4)
                          let kernel = ChannelScale.For set
                          kernel.ScaleFloats(p, c, values.Pointer, stride, scale.Pointer, target.Pointer)
                          target.Check()
                          let product i : float32 = source[i / c * stride + i % c] * factors[i % c]
                          exact $"{p} pixels, {c} channels, stride {stride}" target.Values (Array.init (p * c) product))

          testEverySet "ChannelCentering subtracts the mean of each pixel's channels" (fun set ->
              for c in channels do
                  for p in pixels do
                      let source = Shapes.reals (int64 c) (p * c)
                      use values = new Guarded<float32>(source)
                      (ChannelCentering.For set).Center(p, c, values.Pointer)
                      values.Check()

                      let expected i =
                          let pixel = Array.sub source (i / c * c) c |> Array.map float

                          struct (float source[i] - Array.average pixel,
                                  abs (float source[i]) + Array.averageBy abs pixel)

                      nearSums rounding $"{p} pixels, {c} channels" values.Values (Array.init (p * c) expected))

          testEverySet "ChannelMoments are sums and sums of squares by channel" (fun set ->
              for c in [ 1; 15; 16; 16 + 1; 64 + 3 ] do
                  for p in [ 1; 16; 300 ] do
                      let source = Shapes.reals (int64 c) (p * c)
                      use values = new Guarded<float32>(source)
                      use sums = new Guarded<float32>(2 * c, 4)
                      (ChannelMoments.For set).Sum(p, c, values.Pointer, sums.Pointer)
                      sums.Check()

                      let expected power =
                          [| for channel in 0 .. c - 1 ->
                                 let values = [| for pixel in 0 .. p - 1 -> float source[pixel * c + channel] |]
                                 struct (Array.sumBy power values, Array.sumBy (power >> abs) values) |]

                      nearSums
                          2e-6
                          $"{p} pixels, {c} channels"
                          sums.Values
                          (Array.append (expected id) (expected (fun x -> x * x))))

          testEverySet "ScaledAveragePool is a scaled mean over windows, with its gradient" (fun set ->
              let kernel = ScaledAveragePool.For set

              for c in channels do
                  for side in [ 1; 2; 3 ] do
                      for width in [ side; 2 * side; 3 * side + 1; 4 * side + (side - 1) ] do
                          let what = $"{c} channels, {width} pixels by {side}"
                          let columns, factor = width / side, 0.9f / float32 (side * side)
                          let rows = Shapes.reals (int64 c) (side * width * c)
                          use source = new Guarded<float32>(rows)
                          use target = new Guarded<float32>(columns * c, 4)
                          kernel.Forward(width, c, side, factor, source.Pointer, target.Pointer)
                          target.Check()

                          let terms at =
                              [ for row in 0 .. side - 1 do
                                    for column in 0 .. side - 1 ->
                                        let x = rows[(row * width + at / c * side + column) * c + at % c]
                                        float factor * float x ]

                          Array.init (columns * c) (fun at -> struct (List.sum (terms at), List.sumBy abs (terms at)))
                          |> nearSums lastBits what target.Values

                          let gradient = Shapes.reals 4L (columns * c)
                          use dy = new Guarded<float32>(gradient)
                          use dx = new Guarded<float32>(width * c, 8)
                          dx.Span.Fill nanf
                          kernel.Backward(width, c, side, factor, dy.Pointer, dx.Pointer)
                          dx.Check()

                          let expected i =
                              let pixel = i / c

                              let value: float32 =
                                  factor * gradient[min (gradient.Length - 1) (pixel / side * c + i % c)]

                              if pixel < columns * side then value else 0.0f

                          exact $"dx, {what}" dx.Values (Array.init (width * c) expected)
                          kernel.Backward(width, c, side, factor, NativePtr.nullPtr, dx.Pointer)
                          dx.Check()
                          exact $"dx past the last window, {what}" dx.Values (Array.zeroCreate (width * c))) ]

let tests = testList "activations" [ activations; signTests; scaling ]
