/// Products of floats with binary filters by lookup tables against loops in double precision.
module NormFree.Tests.Kernels.LookupTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Threads
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support
open NormFree.Tests.Kernels.LookupSupport

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

let tests = testList "lookup tables" [ products; LookupGradientTests.tests; LookupForwardTests.tests ]
