/// Filter gradients by lookup tables against loops in double precision.
module NormFree.Tests.Kernels.LookupGradientTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Threads
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support
open NormFree.Tests.Kernels.LookupSupport

let private planes (shape: ConvolutionShape) (signs: uint64[]) workers =
    let mutable shape' = shape
    use source = new Guarded<uint64>(signs)
    use target = new Guarded<uint32>(int (UnfoldedPixelWords.Length &shape'), 4)
    UnfoldedPixelWords.Make(shape, source.Pointer, target.Pointer, workers)
    target.Check()
    target.Values

/// The definition: bit j of word (k, t, c) is set where output pixel 32·k + j reads +1 in channel c at tap t.
let private expectedPlanes (shape: ConvolutionShape) (signs: uint64[]) =
    let perTap, chunks = (shape.In + 15) / 16 * 16, (shape.OutPixels + 31) / 32

    let planes = Array.zeroCreate<uint32>(shape.Taps * chunks * perTap)

    for struct (output, tap, input) in Shapes.reads shape do
        for channel in 0 .. shape.In - 1 do
            if isPlus signs input shape.In channel then
                let word = (output / 32 * shape.Taps + tap) * perTap + channel
                planes[word] <- planes[word] ||| (1u <<< (output % 32))

    planes

type private Gradient = { Shape: ConvolutionShape; Signs: uint64[]; Output: float32[] }

let private gradient seed (shape: ConvolutionShape) =
    { Shape = shape
      Signs = signs (uint64 seed) shape.InPixels shape.In
      Output = Shapes.reals seed (shape.OutPixels * shape.Out) }

/// Σ dy·x by filter, tap and channel. The sum of absolute values includes padding, which the kernel subtracts and adds back.
let private expectedGradient (gradient: Gradient) =
    let shape = gradient.Shape
    let sums = Array.zeroCreate<float>(shape.Out * shape.Taps * shape.In)

    for struct (output, tap, input) in Shapes.reads shape do
        for channel in 0 .. shape.In - 1 do
            let plus = isPlus gradient.Signs input shape.In channel

            for filter in 0 .. shape.Out - 1 do
                let dy = float gradient.Output[output * shape.Out + filter]
                let at = (filter * shape.Taps + tap) * shape.In + channel
                sums[at] <- if plus then sums[at] + dy else sums[at] - dy

    let sizes =
        [| for filter in 0 .. shape.Out - 1 ->
               Seq.init shape.OutPixels (fun pixel -> abs (float gradient.Output[pixel * shape.Out + filter]))
               |> Seq.sum |]

    sums |> Array.mapi (fun i sum -> struct (sum, sizes[i / (shape.Taps * shape.In)]))

let private computeGradient set (gradient: Gradient) (workers: IWorkers) =
    let shape = gradient.Shape
    use output = new Guarded<float32>(gradient.Output)
    use planes = new Guarded<uint32>(planes shape gradient.Signs workers)
    use target = new Guarded<float32>(shape.Out * shape.Taps * shape.In, 4)
    // The kernel must overwrite the target.
    target.Span.Fill nanf
    (FilterGradient.For set).Compute(shape, output.Pointer, planes.Pointer, target.Pointer, workers)
    target.Check()
    target.Values

let private gradientAgrees set gradient expected =
    near $"{gradient.Shape}" (computeGradient set gradient (ShuffledThreads(1, 0L))) expected

let private gradientMatrix =
    lazy
        [ for i, shape in List.indexed Shapes.matrix ->
              let gradient = gradient (int64 i) shape
              gradient, expectedGradient gradient ]

let tests =
    testList
        "filter gradients"
        [ test "UnfoldedPixelWords equal their definition, bit by bit" {
              for i, shape in List.indexed (Shapes.matrix @ large) do
                  let signs = signs (uint64 i) shape.InPixels shape.In

                  if planes shape signs (ShuffledThreads(2, int64 i)) <> expectedPlanes shape signs then
                      failtest $"{shape}"
          }

          test "UnfoldedPixelWords equal their definition on random shapes" {
              anyShape 50 (fun shape ->
                  let signs = signs 3UL shape.InPixels shape.In
                  planes shape signs one = expectedPlanes shape signs)
          }

          testEverySet "equal plain loops, for every tail" (fun set ->
              for gradient, expected in gradientMatrix.Value do
                  gradientAgrees set gradient expected)

          testEverySet "equal plain loops over many pixels and filters" (fun set ->
              for shape in large do
                  let gradient = gradient 5L shape
                  gradientAgrees set gradient (expectedGradient gradient))

          testEverySet "equal plain loops on random shapes" (fun set ->
              anyShape 25 (fun shape ->
                  let gradient = gradient (shape.Macs % 1000L) shape
                  gradientAgrees set gradient (expectedGradient gradient)))

          testEverySet "give the same bits on 1, 2 and 3 threads" (fun set ->
              for shape in splitShapes @ large do
                  let gradient = gradient 6L shape
                  let alone = computeGradient set gradient one

                  for threads in 1..3 do
                      let workers = ShuffledThreads(threads, int64 threads)
                      sameBits $"{shape} on {threads} threads" (computeGradient set gradient workers) alone) ]
