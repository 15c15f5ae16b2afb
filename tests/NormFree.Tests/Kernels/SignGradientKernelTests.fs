/// The sign gradient against its formula.
module NormFree.Tests.Kernels.SignGradientKernelTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Activations
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support
open NormFree.Tests.Kernels.ActivationSupport

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

let tests =
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
