/// The residual activation against its formula.
module NormFree.Tests.Kernels.ActivationTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open NormFree.Data
open NormFree.Kernels.Activations
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support
open NormFree.Tests.Kernels.ActivationSupport

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

let tests = testList "activations" [ activations; SignGradientKernelTests.tests; ScalingTests.tests ]
