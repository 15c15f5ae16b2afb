/// Every gradient of the sign against central differences of its surrogate, in torch operations in float64 and in kernels on every instruction set.
module NormFree.Tests.Torch.SignGradientTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Kernels.Activations
open NormFree.Networks
open NormFree.Spec
open NormFree.Tests.Golden
open NormFree.Tests.Kernels.Support
open TorchSharp

let private sigmoid x = 1.0 / (1.0 + exp -x)

let private clamp bound (x: float) = max -bound (min bound x)

/// A gradient with its kernel and the function that has it as derivative.
type private Case = { Name: string; Gradient: SignGradient; Kernel: SignEstimator; Surrogate: float -> float }

let private case name gradient kernel surrogate =
    { Name = name; Gradient = gradient; Kernel = kernel; Surrogate = surrogate }

let private approximate (x: float) =
    let c = clamp 1.0 x
    2.0 * c - c * abs c

/// 2σ(βx)·(1 + βx·(1 − σ(βx))) − 1.
let private swish beta x =
    let s = sigmoid (beta * x)
    2.0 * s * (1.0 + beta * x * (1.0 - s)) - 1.0

let private cases =
    [ case "approximate" SignGradient.ApproxSign SignEstimator.ApproxSign approximate
      for bound in [ 1.0; 1.25; 1.5 ] do
          case
              $"straight-through, bound {bound}"
              (SignGradient.StraightThrough bound)
              (SignEstimator.StraightThrough(float32 bound))
              (clamp bound)
      for k in [ 1.0; 3.0 ] do
          case $"sigmoid, k = {k}" (SignGradient.SigmoidDerivative k) (SignEstimator.Sigmoid(float32 k)) (fun x ->
              2.0 * sigmoid (k * x) - 1.0)
      for beta in [ 1.0; 5.0 ] do
          case $"swish, β = {beta}" (SignGradient.SwishSign beta) (SignEstimator.Swish(float32 beta)) (swish beta)
      for k in [ 0.5; 10.0 ] do
          case $"tanh, k = {k}" (SignGradient.AnnealedTanh(k, k)) (SignEstimator.Tanh(float32 k)) (fun x ->
              tanh (k * x)) ]

/// Arguments without the kinks at 0, ±1, ±1.25 and ±1.5, exact in float32.
let private arguments =
    [| for i in -200 .. 200 -> float (float32 (0.0173 * float i + 0.0011))
       yield! [ -1e10; -40.0; -9.0; 9.0; 40.0; 1e10 ] |]

let private derivative surrogate x =
    let step = 1e-6 * max 1.0 (abs x)
    (surrogate (x + step) - surrogate (x - step)) / (2.0 * step)

let private expected case = arguments |> Array.map (derivative case.Surrogate)

let private backward progress gradient =
    use _ = torch.NewDisposeScope()
    let x = torch.tensor(arguments).requires_grad_ true
    let y = Signs.apply progress gradient x
    Expect.equal (Agreement.values y) (Array.map (fun v -> float (sign (v: float))) arguments) "values"
    y.sum().backward()
    Agreement.values (Agreement.gradient x)

/// Rounding of central differences.
let private differences = 1e-7

let private closeTo tolerance (expected: float[]) (actual: float[]) =
    let largest = expected |> Array.map abs |> Array.max

    for x, e, a in Array.zip3 arguments expected actual do
        Closeness.close tolerance largest a e $"the derivative at {x}"

let private kernel set estimator =
    let values = Array.map float32 arguments
    use input = new Guarded<float32>(values)
    use shift = new Guarded<float32>(Array.zeroCreate values.Length)
    use gradient = new Guarded<float32>(Array.create values.Length 1.0f)
    use result = new Guarded<float32>(values.Length, 4)
    use shiftGradient = new Guarded<float32>(values.Length, 8)

    let mutable maps =
        SignBackwardMaps(
            Pixels = 1,
            Channels = values.Length,
            Input = input.Pointer,
            Gradient = gradient.Pointer,
            GradientStride = values.Length,
            ShortcutGradient = NativePtr.nullPtr,
            ShortcutRepeats = 0,
            Result = result.Pointer
        )

    (SignBackward.For set).Backward(&maps, 1.0f, shift.Pointer, shiftGradient.Pointer, estimator)
    result.Check()
    shiftGradient.Check()
    Expect.equal shiftGradient.Values result.Values "one pixel: the shift's gradient is that of its argument"
    Array.map float result.Values

let tests =
    testList
        "sign gradients"
        [ for case in cases do
              test $"{case.Name}, by torch operations" {
                  backward 0.0 case.Gradient |> closeTo differences (expected case)
              }

              testEverySet $"{case.Name}, in kernels" (fun set ->
                  // float32: 1 − σ and 1 − tanh² are rounded near 1.
                  kernel set case.Kernel |> closeTo 2e-6 (expected case))

          for progress, k in [ 0.0, 1.0; 0.5, 3.0; 1.0, 9.0 ] do
              test $"an annealed tanh from 1 to 9 has k = {k} at {progress}" {
                  backward progress (SignGradient.AnnealedTanh(1.0, 9.0))
                  |> closeTo differences (arguments |> Array.map (derivative (fun x -> tanh (k * x))))
              } ]
