/// Lookup-table convolutions of floats with signs against loops in double precision.
module NormFree.Tests.Kernels.LookupTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Simd
open NormFree.Kernels.Threads
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Tolerance of float32 sums, relative to the sum of absolute values.
let private near = nearSums 2e-6

let private anyShape count check = forAll count (Shapes.random 140 70) check

let private one = OneThread.Instance :> IWorkers

// ---- Float input, binary weights ----

/// A convolution, or the transposed convolution of an output gradient.
type private Product =
    {
        Map: ConvolutionGeometry
        Source: float32[]
        Scale: float32[] option
        /// +1 or −1 by tap, source channel, target channel.
        Sign: int -> int -> int -> float
        Words: uint32[]
    }

let private stride (product: Product) =
    let mutable map = product.Map
    BinaryWeightConvolution.TargetStride &map

let private pixels (product: Product) =
    let shape = product.Map.Shape

    if product.Map.Transposed then
        shape.OutPixels, shape.InPixels
    else
        shape.InPixels, shape.OutPixels

let private product transposed seed (shape: ConvolutionShape) =
    let map = ConvolutionGeometry(shape, transposed)
    let k, c = map.SourceChannels, map.TargetChannels
    let stream = RandomStream.OfKeys(seed, 1L)
    let signs = Array.init (shape.Taps * k * c) (fun _ -> stream.Below 2)
    let perTap, stride = (k + 31) / 32, (c + 63) / 64 * 64
    let words = Array.zeroCreate<uint32>(shape.Taps * perTap * stride)

    for tap in 0 .. shape.Taps - 1 do
        for source in 0 .. k - 1 do
            for target in 0 .. c - 1 do
                if signs[(tap * k + source) * c + target] = 1 then
                    let word = (tap * perTap + source / 32) * stride + target
                    words[word] <- words[word] ||| (1u <<< (source % 32))

    let sources = (if transposed then shape.OutPixels else shape.InPixels) * k

    { Map = map
      Source = Shapes.reals seed sources
      Scale = if seed % 3L = 0L then None else Some(Shapes.reals (seed + 1L) k)
      Sign = fun tap source target -> float (2 * signs[(tap * k + source) * c + target] - 1)
      Words = words }

/// Sum and sum of absolute values of each target, pixels × channels.
let private expectedProduct (product: Product) =
    let k, c = product.Map.SourceChannels, product.Map.TargetChannels
    let _, targets = pixels product
    let sums, sizes = Array.zeroCreate<float>(targets * c), Array.zeroCreate<float>(targets * c)

    for struct (output, tap, input) in Shapes.reads product.Map.Shape do
        let source, target = if product.Map.Transposed then output, input else input, output

        for from in 0 .. k - 1 do
            let scale = product.Scale |> Option.map (fun scale -> float scale[from]) |> Option.defaultValue 1.0
            let value = scale * float product.Source[source * k + from]

            for into in 0 .. c - 1 do
                let at = target * c + into
                sums[at] <- sums[at] + value * product.Sign tap from into
                sizes[at] <- sizes[at] + abs value

    Array.map2 (fun sum size -> struct (sum, size)) sums sizes

/// Computes parts of images (image, first row, rows), one task each. Returns the targets without padding channels.
let private computeParts set (product: Product) (workers: IWorkers) (parts: (int * int * int)[]) =
    let mutable map = product.Map
    let kernel = BinaryWeightConvolution.For set
    use source = new Guarded<float32>(product.Source)
    use scale = new Guarded<float32>(defaultArg product.Scale [||])
    use words = new Guarded<uint32>(product.Words)
    let rowSize = map.TargetWidth * stride product
    let results = Array.zeroCreate<float32[]> parts.Length

    workers.Run(
        parts.Length,
        fun task ->
            let image, first, rows = parts[task]
            let mutable map = product.Map
            use target = new Guarded<float32>(rows * rowSize, 4)

            kernel.Rows(
                &map,
                image,
                first,
                rows,
                source.Pointer,
                (if product.Scale.IsSome then scale.Pointer else NativePtr.nullPtr),
                words.Pointer,
                Scratch.OfThread(BinaryWeightConvolution.ScratchBytes(&map, rows)),
                target.Pointer
            )

            target.Check()

            results[task] <-
                target.Values
                |> Array.chunkBySize (stride product)
                |> Array.collect (Array.truncate product.Map.TargetChannels)
    )

    Array.concat results

let private images (product: Product) =
    [| for image in 0 .. product.Map.Shape.Batch - 1 -> image, 0, product.Map.TargetHeight |]

/// Runs on a thread without scratch memory, so that a request that is too small fails.
let private compute set product = computeParts set product (ShuffledThreads(1, 0L)) (images product)

let private productAgrees set product expected =
    let what = $"{product.Map}, scale {product.Scale.IsSome}"
    near what (compute set product) expected

let private productMatrix transposed =
    lazy
        [ for i, shape in List.indexed Shapes.matrix ->
              let product = product transposed (int64 i) shape
              product, expectedProduct product ]

/// Shapes for tests of all splits: odd strides, halos on both sides, columns without a source.
let private splitShapes =
    [ for (h, w), (kh, kw), (sy, sx), pad in
          [ (7, 6), (3, 3), (1, 1), 1
            (7, 6), (3, 3), (2, 2), 1
            (9, 5), (5, 5), (2, 3), 2
            (6, 7), (1, 1), (2, 2), 0
            (5, 9), (2, 3), (3, 1), 2 ] -> ConvolutionShape(2, h, w, 32 + 3, 16 + 5, kh, kw, sy, sx, pad, pad) ]

let private products =
    testList
        "float input, binary weights"
        [ for transposed, name in [ false, "a convolution"; true, "its transpose" ] do
              let cases = productMatrix transposed

              testEverySet $"{name} equals plain loops, for every tail" (fun set ->
                  for case, expected in cases.Value do
                      productAgrees set case expected)

              testEverySet $"{name} equals plain loops on random shapes" (fun set ->
                  anyShape 25 (fun shape ->
                      let case = product transposed (shape.Macs % 1000L) shape
                      productAgrees set case (expectedProduct case)))

              testEverySet $"{name} gives the same bits for every split of an image" (fun set ->
                  for shape in splitShapes do
                      let case = product transposed 7L shape
                      let whole = compute set case
                      let height = case.Map.TargetHeight

                      for first in 0..height do
                          let parts =
                              [| for image in 0 .. shape.Batch - 1 do
                                     image, 0, first
                                     image, first, height - first |]

                          sameBits $"{case.Map}, split before row {first}" (computeParts set case one parts) whole)

              testEverySet $"{name} gives the same bits on 1, 2 and 3 threads" (fun set ->
                  for shape in splitShapes do
                      let case = product transposed 8L shape
                      let whole = compute set case

                      let rows =
                          [| for image in 0 .. shape.Batch - 1 do
                                 for row in 0 .. case.Map.TargetHeight - 1 -> image, row, 1 |]

                      for threads in 1..3 do
                          let workers = ShuffledThreads(threads, int64 threads)
                          sameBits $"{case.Map} on {threads} threads" (computeParts set case workers rows) whole)

          test "RowsPerTask is between 1 and the height of the map" {
              for shape in Shapes.matrix @ [ ConvolutionShape(1, 224, 224, 1024, 1024, 3, 3, 1, 1, 1, 1) ] do
                  for transposed in [ false; true ] do
                      let mutable map = ConvolutionGeometry(shape, transposed)
                      let rows = BinaryWeightConvolution.RowsPerTask &map
                      Expect.isTrue (rows >= 1 && rows <= map.TargetHeight) $"{map}: {rows} rows"
          } ]

// ---- Filter gradients ----

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

/// More output pixels than the tables of one pass cover (1024), and more filters than a task has (16).
let private large =
    [ ConvolutionShape(3, 19, 20, 32 + 1, 16 + 1, 3, 3, 1, 1, 1, 1)
      ConvolutionShape(2, 23, 23, 3, 32 + 2, 1, 1, 1, 1, 0, 0)
      ConvolutionShape(1, 32, 32, 4, 16, 1, 1, 1, 1, 0, 0) ]

let private gradients =
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

// ---- Binary input, float weights ----

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

let private forwards =
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

let tests = testList "lookup tables" [ products; gradients; forwards ]
