/// What follows a binary convolution, and the sign's gradient, against their formulas.
module NormFree.Tests.Kernels.ActivationTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Activations
open NormFree.Tests.Kernels.Support

/// What float32 sums over pixels may differ by from exact ones, as a part of the sum of absolute values.
let private rounding = 1e-6

/// What one value may differ by where a formula's steps are rounded in another order.
let private lastBits = 5e-7

/// Sizes as sums that name the tail: of vectors of 4, 8 and 16, and of words.
let private channels =
    [ 1; 3; 4; 4 + 3; 8; 8 + 7; 16; 16 + 1; 32 - 1; 32; 32 + 1; 64; 64 + 1; 64 + 32; 128 + 3 ]

let private pixels = [ 0; 1; 2; 5 ]

let private bits (values: float32[]) = values |> Array.map BitConverter.SingleToUInt32Bits

/// Equal bit by bit, but that every NaN is as good as any other.
let private exact what (actual: float32[]) (expected: float32[]) =
    let oneNaN = Array.map (fun v -> if Single.IsNaN v then nanf else v)
    let actual, expected = oneNaN actual, oneNaN expected
    let first = Seq.zip (bits actual) (bits expected) |> Seq.tryFindIndex (fun (a, b) -> a <> b)

    match first with
    | Some at -> failtest $"{what}: value {at} is {actual[at]}, should be {expected[at]}"
    | None -> Expect.equal actual.Length expected.Length what

let private near tolerance what (actual: float32[]) (expected: (float * float)[]) =
    Expect.equal actual.Length expected.Length what

    Array.zip actual expected
    |> Array.iteri (fun i (found, (value, size)) ->
        if not (abs (float found - value) <= tolerance * size) then
            failtest $"{what}: value {i} is {found}, should be {value} (its terms add up to {size})")

// ---- scale·counts + shortcut, and the activation ----

type private Layer =
    { Pixels: int
      Channels: int
      ShortcutChannels: int
      ShiftIn: float32[]
      Slope: float32[]
      ShiftOut: float32[]
      Counts: int[]
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
      Counts = Array.init (pixels * channels) (fun _ -> stream.Below 9217 - 4608)
      Scale = reals (seed + 4L) channels |> Array.map (fun s -> s * 1e-3f)
      Branch = reals (seed + 5L) (pixels * channels)
      Shortcut = reals (seed + 6L) (pixels * shortcutChannels) }

/// Every number of channels and pixels; shortcuts that repeat once, twice and three times.
let private layers =
    [ for c in channels do
          for p in pixels do
              for repeats in [ 1; 2; 3 ] do
                  layer (int64 (100 * c + p)) p (c * repeats) c ]

/// z and y of a sum: each step rounded to float32.
let private activated layer (sum: float32[]) =
    let shifted = sum |> Array.mapi (fun i u -> u + layer.ShiftIn[i % layer.Channels])

    let result =
        shifted
        |> Array.mapi (fun i z ->
            let channel = i % layer.Channels
            // A product of its own, as a float32.
            let below: float32 = layer.Slope[channel] * z
            (if z > 0.0f then z else below) + layer.ShiftOut[channel])

    shifted, result

let private shortcutOf layer i =
    layer.Shortcut[i / layer.Channels * layer.ShortcutChannels + i % layer.Channels % layer.ShortcutChannels]

let private sumOfCounts layer =
    layer.Counts
    |> Array.mapi (fun i count ->
        let scaled: float32 = float32 count * layer.Scale[i % layer.Channels]
        scaled + shortcutOf layer i)

let private sumOfBranch layer = layer.Branch |> Array.mapi (fun i branch -> branch + shortcutOf layer i)

/// Calls with a layer's parameters in guarded memory.
let private withParameters layer (call: RPReLUParameters -> unit) =
    use shiftIn = new Guarded<float32>(layer.ShiftIn)
    use slope = new Guarded<float32>(layer.Slope)
    use shiftOut = new Guarded<float32>(layer.ShiftOut)
    call (RPReLUParameters(layer.Channels, shiftIn.Pointer, slope.Pointer, shiftOut.Pointer))

/// Where the sum goes.
type private Place =
    | OfItsOwn
    | OverTheBranch
    | UnderTheResult

let private forward set layer counts place =
    let size = layer.Pixels * layer.Channels
    use numbers = new Guarded<int>(layer.Counts)
    use scale = new Guarded<float32>(layer.Scale)
    use branch = new Guarded<float32>(layer.Branch)
    use shortcut = new Guarded<float32>(layer.Shortcut)
    use own = new Guarded<float32>(size, 4)
    use result = new Guarded<float32>(size, 8)

    let sum =
        match place with
        | OfItsOwn -> own
        | OverTheBranch -> branch
        | UnderTheResult -> result

    let kernel = ResidualActivation.For set

    withParameters layer (fun parameters ->
        let mutable parameters = parameters

        if counts then
            kernel.Forward(
                layer.Pixels,
                &parameters,
                numbers.Pointer,
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
    use ofParameters = new Guarded<float32>(3 * layer.Channels, 8)
    ofParameters.Span.Fill nanf
    let kernel = ResidualActivation.For set

    withParameters layer (fun parameters ->
        let mutable parameters = parameters
        kernel.Backward(layer.Pixels, &parameters, sums.Pointer, dy.Pointer, du.Pointer, ofParameters.Pointer))

    du.Check()
    ofParameters.Check()
    du.Values, ofParameters.Values

/// Sums by channel with their sizes.
let private byChannel layer (values: float[]) =
    [| for channel in 0 .. layer.Channels - 1 ->
           let terms = [| for pixel in 0 .. layer.Pixels - 1 -> values[pixel * layer.Channels + channel] |]
           Array.sum terms, Array.sumBy abs terms |]

let private odd =
    [| 0.0f; -0.0f; nanf; infinityf; -infinityf; Single.MaxValue; Single.Epsilon; -Single.Epsilon |]

let private strewn (values: float32[]) =
    values |> Array.mapi (fun i v -> if i % 3 = 0 then odd[i / 3 % odd.Length] else v)

let private activations =
    testList
        "residual activation"
        [ testEverySet "scaled counts and a shortcut, rounded step by step" (fun set ->
              for layer in layers do
                  let what = $"{layer.Pixels} pixels, {layer.ShortcutChannels} to {layer.Channels} channels"
                  let sum, result = forward set layer true OfItsOwn
                  let expected = sumOfCounts layer
                  exact $"u, {what}" sum expected
                  exact $"y, {what}" result (snd (activated layer expected)))

          testEverySet "a branch and a shortcut, rounded step by step" (fun set ->
              for layer in layers do
                  let what = $"{layer.Pixels} pixels, {layer.ShortcutChannels} to {layer.Channels} channels"
                  let expected = sumOfBranch layer

                  for place in [ OfItsOwn; OverTheBranch ] do
                      let sum, result = forward set layer false place
                      exact $"u {place}, {what}" sum expected
                      exact $"y, u {place}, {what}" result (snd (activated layer expected)))

          testEverySet "a sum that nobody wants can lie where the result goes" (fun set ->
              for layer in layers do
                  for counts in [ true; false ] do
                      let _, result = forward set layer counts UnderTheResult
                      let sum = if counts then sumOfCounts layer else sumOfBranch layer
                      exact $"y, {layer.Channels} channels" result (snd (activated layer sum)))

          testEverySet "the gradient: of the sum exactly, of the parameters as sums" (fun set ->
              for layer in layers do
                  let what = $"{layer.Pixels} pixels, {layer.Channels} channels"
                  let sum = sumOfBranch layer
                  let dy = Shapes.reals 17L sum.Length
                  let du, ofParameters = backward set layer sum dy
                  let shifted, _ = activated layer sum

                  let expected =
                      dy
                      |> Array.mapi (fun i dy ->
                          if shifted[i] > 0.0f then dy else layer.Slope[i % layer.Channels] * dy)

                  exact $"du, {what}" du expected

                  let ofSlope = Array.map2 (fun z dy -> if z > 0.0f then 0.0 else float z * float dy) shifted dy

                  Array.concat
                      [ byChannel layer (Array.map float expected)
                        byChannel layer ofSlope
                        byChannel layer (Array.map float dy) ]
                  |> near rounding $"db₁, da, db₂, {what}" ofParameters)

          testEverySet "over many pixels" (fun set ->
              let layer = layer 3L 5000 (16 + 1) (16 + 1)
              let sum = sumOfBranch layer
              let dy = Shapes.reals 18L sum.Length
              let _, ofParameters = backward set layer sum dy
              let ofShiftOut = Array.skip (2 * layer.Channels) ofParameters
              // Five thousand additions, one after the other.
              near (20.0 * rounding) "db₂" ofShiftOut (byChannel layer (Array.map float dy)))

          testEverySet "NaN, infinities and zeros go through the formulas" (fun set ->
              for c in channels do
                  let layer = layer 5L 5 c c

                  let layer = { layer with Branch = strewn layer.Branch; Shortcut = strewn (Array.rev layer.Shortcut) }

                  let expected = sumOfBranch layer
                  let sum, result = forward set layer false OfItsOwn
                  exact "u" sum expected
                  exact "y" result (snd (activated layer expected))
                  let dy = strewn (Shapes.reals 19L sum.Length)
                  let du, _ = backward set layer sum dy
                  let shifted, _ = activated layer expected

                  exact
                      "du"
                      du
                      (dy |> Array.mapi (fun i dy -> if shifted[i] > 0.0f then dy else layer.Slope[i % c] * dy))) ]

// ---- The sign's gradient ----

/// Arguments of the sign at which its gradient changes, and the odd ones out.
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
    { Count: int
      Width: int
      Stride: int
      Copies: int
      Beta: float32
      Input: float32[]
      Shift: float32[]
      Above: float32[]
      Around: float32[] }

let private signCase seed count width stride copies beta =
    { Count = count
      Width = width
      Stride = stride
      Copies = copies
      Beta = beta
      Input = Shapes.reals seed (count * width)
      Shift = Shapes.reals (seed + 1L) width |> Array.map (fun b -> 0.3f * b)
      Above = Shapes.reals (seed + 2L) (count * stride)
      Around = Shapes.reals (seed + 3L) (count * copies * width) }

let private signGradient set case =
    use input = new Guarded<float32>(case.Input)
    use shift = new Guarded<float32>(case.Shift)
    use above = new Guarded<float32>(case.Above)
    use around = new Guarded<float32>(case.Around)
    use result = new Guarded<float32>(case.Input.Length, 4)
    use ofShift = new Guarded<float32>(case.Width, 8)
    ofShift.Span.Fill nanf

    let mutable maps =
        SignGradientMaps(
            Pixels = case.Count,
            Channels = case.Width,
            Input = input.Pointer,
            Gradient = above.Pointer,
            GradientStride = case.Stride,
            Shortcut = (if case.Copies = 0 then NativePtr.nullPtr else around.Pointer),
            Shortcuts = case.Copies,
            Result = result.Pointer
        )

    (SignGradient.For set).Backward(&maps, case.Beta, shift.Pointer, ofShift.Pointer)
    result.Check()
    ofShift.Check()
    result.Values, ofShift.Values

/// dt of every value: (2 − 2·|t|)·ds inside, else 0, t rounded as the packing rounds it.
let private expectedShifted case =
    case.Input
    |> Array.mapi (fun i x ->
        let pixel, channel = i / case.Width, i % case.Width
        let product: float32 = x * case.Beta
        let t: float32 = product + case.Shift[channel]

        if abs t < 1.0f then
            (2.0 - 2.0 * abs (float t)) * float case.Above[pixel * case.Stride + channel]
        else
            0.0)

let private expectedSign case =
    let shifted = expectedShifted case

    let ofInput =
        shifted
        |> Array.mapi (fun i dt ->
            let pixel, channel = i / case.Width, i % case.Width

            let around =
                [ for copy in 0 .. case.Copies - 1 ->
                      float case.Around[(pixel * case.Copies + copy) * case.Width + channel] ]

            let own = float case.Beta * dt
            own + List.sum around, abs own + List.sumBy abs around)

    let ofShift =
        [| for channel in 0 .. case.Width - 1 ->
               let terms = [| for pixel in 0 .. case.Count - 1 -> shifted[pixel * case.Width + channel] |]
               Array.sum terms, Array.sumBy abs terms |]

    ofInput, ofShift

let private signTests =
    testList
        "sign gradient"
        [ testEverySet "(2 − 2·|t|)·β·ds and the shortcuts' gradients" (fun set ->
              for c in channels do
                  for p in pixels do
                      for copies in [ 0; 1; 2 ] do
                          for stride in [ c; (c + 63) / 64 * 64 ] do
                              for beta in [ 1.0f; 0.98058069f; -0.7f ] do
                                  let case = signCase (int64 (10 * c + p)) p c stride copies beta
                                  let dx, db = signGradient set case
                                  let ofInput, ofShift = expectedSign case
                                  let what = $"{p} pixels, {c} channels, stride {stride}, {copies} shortcuts"
                                  near lastBits $"dx, {what}" dx ofInput
                                  near rounding $"db, {what}" db ofShift)

          testEverySet "the gradient ends at t = ±1, and what is no number gives none" (fun set ->
              for c in channels do
                  let count = (2 * edges.Length + c - 1) / c
                  let case = signCase 4L count c c 0 1.0f

                  let case =
                      { case with
                          Input = Array.init (count * c) (fun i -> edges[i % edges.Length])
                          Shift = Array.zeroCreate c
                          Above = Array.create (count * c) 3.0f }

                  let dx, _ = signGradient set case

                  let expected =
                      case.Input |> Array.map (fun t -> if abs t < 1.0f then 3.0f * (2.0f - 2.0f * abs t) else 0.0f)

                  Expect.equal dx expected $"{c} channels") ]

// ---- Conversions ----

let private conversions =
    testList
        "conversions"
        [ testEverySet "scaled counts are counts times scales" (fun set ->
              for c in channels do
                  for p in pixels do
                      let layer = layer (int64 c) p c c
                      use counts = new Guarded<int>(layer.Counts)
                      use scale = new Guarded<float32>(layer.Scale)
                      use values = new Guarded<float32>(p * c, 4)
                      (ChannelScale.For set).Counts(p, c, counts.Pointer, scale.Pointer, values.Pointer)
                      values.Check()
                      let product i count : float32 = float32 count * layer.Scale[i % c]
                      exact $"{p} pixels, {c} channels" values.Values (Array.mapi product layer.Counts))

          testEverySet "scaled values are values times scales, whatever lies between pixels" (fun set ->
              for c in channels do
                  for p in pixels do
                      for stride in [ c; (c + 63) / 64 * 64 ] do
                          let source = Shapes.reals (int64 c) (p * stride)
                          let factors = Shapes.reals 3L c
                          use values = new Guarded<float32>(source)
                          use scale = new Guarded<float32>(factors)
                          use target = new Guarded<float32>(p * c, 4)
                          let kernel = ChannelScale.For set
                          kernel.Values(p, c, values.Pointer, stride, scale.Pointer, target.Pointer)
                          target.Check()
                          let product i : float32 = source[i / c * stride + i % c] * factors[i % c]
                          exact $"{p} pixels, {c} channels, stride {stride}" target.Values (Array.init (p * c) product))

          testEverySet "centered pixels are values less the mean of their channels" (fun set ->
              for c in channels do
                  for p in pixels do
                      let source = Shapes.reals (int64 c) (p * c)
                      use values = new Guarded<float32>(source)
                      (ChannelCentering.For set).Pixels(p, c, values.Pointer)
                      values.Check()

                      let expected i =
                          let pixel = Array.sub source (i / c * c) c |> Array.map float
                          float source[i] - Array.average pixel, abs (float source[i]) + Array.averageBy abs pixel

                      near rounding $"{p} pixels, {c} channels" values.Values (Array.init (p * c) expected))

          testEverySet "pooled rows are scaled means of squares, and their gradient" (fun set ->
              let kernel = ScaledPool.For set

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

                          Array.init (columns * c) (fun at -> List.sum (terms at), List.sumBy abs (terms at))
                          |> near lastBits what target.Values

                          let above = Shapes.reals 4L (columns * c)
                          use dy = new Guarded<float32>(above)
                          use dx = new Guarded<float32>(width * c, 8)
                          dx.Span.Fill nanf
                          kernel.Backward(width, c, side, factor, dy.Pointer, dx.Pointer)
                          dx.Check()

                          let expected i =
                              let pixel = i / c
                              let value: float32 = factor * above[min (above.Length - 1) (pixel / side * c + i % c)]
                              if pixel < columns * side then value else 0.0f

                          exact $"dx, {what}" dx.Values (Array.init (width * c) expected)
                          kernel.Backward(width, c, side, factor, NativePtr.nullPtr, dx.Pointer)
                          dx.Check()
                          exact $"dx behind the last square, {what}" dx.Values (Array.zeroCreate (width * c))) ]

let tests = testList "activations" [ activations; signTests; conversions ]
