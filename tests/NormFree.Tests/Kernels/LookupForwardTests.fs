/// Convolutions of signs with floats by lookup tables against loops in double precision.
module NormFree.Tests.Kernels.LookupForwardTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Threads
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support
open NormFree.Tests.Kernels.LookupSupport

let private words (shape: ConvolutionShape) (signs: uint64[]) workers =
    let mutable shape' = shape
    use source = new Guarded<uint64>(signs)
    use target = new Guarded<uint32>(int (UnfoldedChannelWords.Length &shape'), 4)
    UnfoldedChannelWords.Make(shape, source.Pointer, target.Pointer, workers)
    target.Check()
    target.Values

/// The definition: bit t·b + c of pixel p, in words of 32, is set where output pixel p reads +1 in channel c at tap t.
let private expectedWords (shape: ConvolutionShape) (signs: uint64[]) =
    let bits =
        match shape.In with
        | c when c <= 4 -> 4
        | c when c <= 8 -> 8
        | c when c <= 16 -> 16
        | c -> (c + 31) / 32 * 32

    let stride = (shape.OutPixels + 63) / 64 * 64
    let words = Array.zeroCreate<uint32>((shape.Taps * bits + 31) / 32 * stride)

    for struct (output, tap, input) in Shapes.reads shape do
        for channel in 0 .. shape.In - 1 do
            if isPlus signs input shape.In channel then
                let bit = tap * bits + channel
                let word = bit / 32 * stride + output
                words[word] <- words[word] ||| (1u <<< (bit % 32))

    words

type private Forward = { Shape: ConvolutionShape; Input: uint64[]; Filters: float32[] }

let private forward seed (shape: ConvolutionShape) =
    { Shape = shape
      Input = signs (uint64 seed) shape.InPixels shape.In
      Filters = Shapes.reals seed (shape.Out * shape.Taps * shape.In) }

/// Σ w·x by pixel and filter. The sum of absolute values includes padding, which the kernel subtracts and adds back.
let private expectedForward (forward: Forward) =
    let shape = forward.Shape
    let sums = Array.zeroCreate<float>(shape.OutPixels * shape.Out)
    let filterSize = shape.Taps * shape.In

    for struct (output, tap, input) in Shapes.reads shape do
        for filter in 0 .. shape.Out - 1 do
            let at = output * shape.Out + filter

            for channel in 0 .. shape.In - 1 do
                let plus = isPlus forward.Input input shape.In channel
                let w = float forward.Filters[filter * filterSize + tap * shape.In + channel]
                sums[at] <- if plus then sums[at] + w else sums[at] - w

    let sizes =
        forward.Filters |> Array.chunkBySize filterSize |> Array.map (Array.sumBy (fun w -> abs (float w)))

    sums |> Array.mapi (fun at sum -> struct (sum, sizes[at % shape.Out]))

let private computeForward set (forward: Forward) (workers: IWorkers) =
    let shape = forward.Shape
    use input = new Guarded<uint32>(words shape forward.Input workers)
    use filters = new Guarded<float32>(forward.Filters)
    use target = new Guarded<float32>(shape.OutPixels * shape.Out, 4)
    // The kernel must overwrite the target.
    target.Span.Fill nanf
    (BinaryInputConvolution.For set).Compute(shape, input.Pointer, filters.Pointer, target.Pointer, workers)
    target.Check()
    target.Values

let private forwardAgrees set forward expected =
    near $"{forward.Shape}" (computeForward set forward (ShuffledThreads(1, 0L))) expected

let private forwardMatrix =
    lazy
        [ for i, shape in List.indexed Shapes.matrix ->
              let forward = forward (int64 i) shape
              forward, expectedForward forward ]

/// More output pixels than a task has (2048).
let private wide = ConvolutionShape(3, 33, 26, 5, 16 + 3, 3, 3, 1, 1, 1, 1)

let tests =
    testList
        "binary input, float weights"
        [ test "UnfoldedChannelWords equal their definition, bit by bit" {
              for i, shape in List.indexed (wide :: Shapes.matrix) do
                  let signs = signs (uint64 i) shape.InPixels shape.In

                  if words shape signs (ShuffledThreads(2, int64 i)) <> expectedWords shape signs then
                      failtest $"{shape}"
          }

          test "UnfoldedChannelWords equal their definition on random shapes" {
              anyShape 50 (fun shape ->
                  let signs = signs 3UL shape.InPixels shape.In
                  words shape signs one = expectedWords shape signs)
          }

          testEverySet "a convolution equals plain loops, for every tail" (fun set ->
              for forward, expected in forwardMatrix.Value do
                  forwardAgrees set forward expected)

          testEverySet "a convolution equals plain loops on random shapes" (fun set ->
              anyShape 25 (fun shape ->
                  let forward = forward (shape.Macs % 1000L) shape
                  forwardAgrees set forward (expectedForward forward)))

          testEverySet "a convolution gives the same bits on 1, 2 and 3 threads" (fun set ->
              for shape in wide :: splitShapes @ large do
                  let forward = forward 6L shape
                  let alone = computeForward set forward one
                  near $"{shape}" alone (expectedForward forward)

                  for threads in 1..3 do
                      let workers = ShuffledThreads(threads, int64 threads)
                      sameBits $"{shape} on {threads} threads" (computeForward set forward workers) alone) ]
