/// Clipping and optimiser steps against loops in double precision.
module NormFree.Tests.Kernels.OptimiserKernelTests

open System
open System.Runtime.InteropServices
open Expecto
open NormFree.Kernels.Optimisers
open NormFree.Kernels.Threads
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Filters, vectors, gains, a tensor of several chunks, and every tail of a vector.
let shapes: int64 list list =
    [ [ 5L; 3L; 3L; 3L ]
      [ 1L; 64L + 3L; 1L; 1L ]
      [ 64L + 3L; 1L; 1L; 1L ]
      [ 4L; 512L; 3L; 3L ]
      [ 16384L + 3L ]
      [ 10L; 64L ] ]
    @ [ for tail in 1L .. 16L -> [ 64L + tail ] ]

let sizeOf shape = List.reduce (*) shape |> int

let private pinned (arrays: float32[] list) (body: nativeint list -> 'T) =
    let handles = arrays |> List.map (fun a -> GCHandle.Alloc(a, GCHandleType.Pinned))

    try
        body (handles |> List.map _.AddrOfPinnedObject())
    finally
        for handle in handles do
            handle.Free()

/// Number of units: the size of the first axis, or 1 for a vector.
let private unitsOf (shape: int64 list) = if shape.Length <= 1 then 1 else int shape.Head

let private norm (values: float[]) = sqrt (values |> Array.sumBy (fun v -> v * v))

/// The formula for one unit: the new gradient, and whether it was clipped.
let private clipUnit factor (p: float[]) (g: float[]) =
    let limit = max (norm p) 1e-3 * factor

    if norm g >= limit then
        g |> Array.map (fun value -> value * limit / max (norm g) 1e-6), true
    else
        g, false

/// Parameters and gradients with norms around the limits, and zeros.
let private clipInputs () =
    let random = Random 17

    [ for shape in shapes do
          for parameterScale, gradientScale in
              [ 1.0, 1.0; 1.0, 0.01; 0.0, 1.0; 1.0, 0.0; 0.0, 0.0; 1e-6, 1e-7; 1e-4, 1e-9 ] do
              shape, randoms random parameterScale (sizeOf shape), randoms random gradientScale (sizeOf shape) ]

let private clip set (workers: IWorkers) factor inputs =
    let gradients = [ for _, _, g in inputs -> Array.copy g ]

    let counts =
        pinned [ for _, p, _ in inputs -> p ] (fun parameters ->
            pinned gradients (fun addresses ->
                let tensors =
                    [| for (shape, p: float32[], _), parameter, gradient in List.zip3 inputs parameters addresses ->
                           ClippedTensor(parameter, gradient, unitsOf shape, p.Length / unitsOf shape) |]

                OptimiserKernels.For(set).Clip(tensors, factor, workers)))

    gradients, counts

let private clipping =
    [ testEverySet "clipping equals plain loops" (fun set ->
          let inputs = clipInputs ()
          let gradients, counts = clip set (ShuffledThreads(2, 1L)) 0.02 inputs

          for (shape, p, g), actual, count in List.zip3 inputs gradients (List.ofArray counts) do
              let units (values: float32[]) = values |> Array.map float |> Array.splitInto (unitsOf shape)
              let expected = Array.map2 (clipUnit 0.02) (units p) (units g)
              allClose rounding (Array.collect fst expected) actual $"{shape}"
              let clipped = expected |> Array.filter snd
              Expect.equal count clipped.LongLength $"{shape}: clipped units")

      testEverySet "clipping gives the same bits on 1, 2 and 3 threads" (fun set ->
          let inputs = clipInputs ()
          let gradients, counts = clip set OneThread.Instance 0.02 inputs

          for threads in 1..3 do
              let others, otherCounts = clip set (ShuffledThreads(threads, int64 threads)) 0.02 inputs
              Expect.equal otherCounts counts "clipped units"
              Expect.equal (others |> List.map bits) (gradients |> List.map bits) $"{threads} threads")

      testEverySet "a unit with a NaN gradient is not changed, and the other units are clipped" (fun set ->
          let inputs = [ [ 2L; 3L ], [| 1f; 1f; 1f; 1f; 1f; 1f |], [| nanf; 1f; 1f; 1f; 1f; 1f |] ]
          let gradients, counts = clip set OneThread.Instance 0.02 inputs
          Expect.equal counts [| 1L |] "clipped units"
          Expect.isTrue (Single.IsNaN gradients.Head[0]) "NaN"
          let actual = gradients.Head
          Expect.equal actual[1..2] [| 1f; 1f |] "its unit"
          allClose rounding [| 0.02; 0.02; 0.02 |] actual[3..5] "the other unit") ]

/// The formula of Adam or SGD in double precision, on a parameter and its state.
type private Formula = int -> float -> float -> float[] -> float[] -> float[] -> float[] -> unit

let rate, steps = 1e-2, 50

let private adam decoupled : Formula =
    fun step rate decay p g m v ->
        for i in 0 .. p.Length - 1 do
            let g = if decoupled then g[i] else g[i] + decay * p[i]
            let decayed = if decoupled then p[i] * (1.0 - rate * decay) else p[i]
            m[i] <- 0.9 * m[i] + 0.1 * g
            v[i] <- 0.999 * v[i] + 0.001 * g * g
            let mean, square = m[i] / (1.0 - 0.9 ** float step), v[i] / (1.0 - 0.999 ** float step)
            p[i] <- decayed - rate * mean / (sqrt square + 1e-8)

let private sgd momentum : Formula =
    fun _ rate decay p g m _ ->
        for i in 0 .. p.Length - 1 do
            let g = g[i] + decay * p[i]
            m[i] <- momentum * m[i] + g
            p[i] <- p[i] - rate * (g + momentum * m[i])

/// One optimiser step on all tensors.
type private Kernel = OptimiserKernels -> OptimisedTensor[] -> int -> IWorkers -> unit

let private adamKernel decoupled : Kernel =
    fun kernels tensors step workers ->
        kernels.Adam(tensors, AdamStep(rate, int64 step, decoupled, 0.9, 0.999, 1e-8), workers)

let private sgdKernel momentum : Kernel = fun kernels tensors _ workers -> kernels.Sgd(tensors, rate, momentum, workers)

let decayOf index = if index % 2 = 0 then 0.0 else 0.1

/// Tensors may have different learning rates.
let rateFactorOf index = if index % 3 = 0 then 5.0 else 1.0

/// Parameters, means and squares after all steps.
let private stepped set workers steps (kernel: Kernel) =
    let random = Random 23
    let parameters = [ for shape in shapes -> randoms random 1.0 (sizeOf shape) ]
    let zeros () = [ for p in parameters -> Array.zeroCreate<float32> p.Length ]
    let means, squares, gradients = zeros (), zeros (), zeros ()

    pinned (parameters @ gradients @ means @ squares) (fun addresses ->
        let part i = List.item i (List.splitInto 4 addresses)

        let tensors =
            [| for i, p in List.indexed parameters ->
                   OptimisedTensor(
                       (part 0)[i],
                       (part 1)[i],
                       (part 2)[i],
                       (part 3)[i],
                       p.LongLength,
                       decayOf i,
                       rateFactorOf i
                   ) |]

        for step in 1..steps do
            for g in gradients do
                (randoms random 1.0 g.Length).CopyTo(g, 0)

            kernel (OptimiserKernels.For set) tensors step workers)

    parameters, means, squares

let private expected (formula: Formula) =
    let random = Random 23
    let floats = Array.map float
    let parameters = [ for shape in shapes -> floats (randoms random 1.0 (sizeOf shape)) ]
    let zeros () = [ for p in parameters -> Array.zeroCreate<float> p.Length ]
    let means, squares = zeros (), zeros ()

    for step in 1..steps do
        for i, p in List.indexed parameters do
            formula
                step
                (rate * rateFactorOf i)
                (decayOf i)
                p
                (floats (randoms random 1.0 p.Length))
                means[i]
                squares[i]

    parameters, means, squares

let private optimisers =
    [ for name, formula, kernel in
          [ "Adam", adam false, adamKernel false
            "AdamW", adam true, adamKernel true
            "SGD with Nesterov momentum", sgd 0.9, sgdKernel 0.9
            "SGD without momentum", sgd 0.0, sgdKernel 0.0 ] do
          let oracle = lazy (expected formula)

          testEverySet $"{steps} steps of {name} equal plain loops" (fun set ->
              let parameters, means, squares = stepped set (ShuffledThreads(2, 1L)) steps kernel
              let p, m, v = oracle.Value
              // Rounding errors accumulate over the steps.
              let all what = List.iter2 (fun e a -> allClose (5.0 * rounding) e a $"{name}: {what}")
              all "parameter" p parameters
              all "mean" m means
              all "square" v squares)

          testEverySet $"{name} gives the same bits on 1, 2 and 3 threads" (fun set ->
              let bitsOf (a, b, c) = List.map (List.map bits) [ a; b; c ]
              let alone = bitsOf (stepped set OneThread.Instance 3 kernel)

              for threads in 1..3 do
                  Expect.equal
                      (bitsOf (stepped set (ShuffledThreads(threads, int64 threads)) 3 kernel))
                      alone
                      $"{threads} threads") ]

let tests = testList "optimiser kernels" [ yield! clipping; yield! optimisers ]
