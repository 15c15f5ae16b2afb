/// The gradient of a convolution's input against loops in double precision.
module NormFree.Tests.Kernels.InputGradientTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Filters
open NormFree.Kernels.Memory
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

type private Case = { Shape: ConvolutionShape; Gradient: float32[]; Filters: float32[] }

let private case seed (shape: ConvolutionShape) =
    { Shape = shape
      Gradient = Shapes.reals seed (shape.OutPixels * shape.Out)
      Filters = Shapes.reals (seed + 1L) (shape.Out * shape.Taps * shape.In) }

/// Sum and sum of absolute values of each input value, pixels × channels.
let private expected (case: Case) =
    let shape = case.Shape

    let sums, sizes =
        Array.zeroCreate<float>(shape.InPixels * shape.In), Array.zeroCreate<float>(shape.InPixels * shape.In)

    for struct (output, tap, input) in Shapes.reads shape do
        for filter in 0 .. shape.Out - 1 do
            let dy = float case.Gradient[output * shape.Out + filter]

            for channel in 0 .. shape.In - 1 do
                let product = dy * float case.Filters[(filter * shape.Taps + tap) * shape.In + channel]
                let at = input * shape.In + channel
                sums[at] <- sums[at] + product
                sizes[at] <- sizes[at] + abs product

    Array.map2 (fun sum size -> struct (sum, size)) sums sizes

/// Computes parts of every image, split at these rows. Returns the gradient without padding channels.
let private compute set (case: Case) (splits: int list) =
    let kernel = InputGradient.For set
    let mutable shape = case.Shape
    let stride = InputGradient.TargetStride &shape
    use gradient = new Guarded<float32>(case.Gradient)
    use filters = new Guarded<float32>(case.Filters)
    use arranged = new Guarded<float32>(int (InputGradient.ArrangedLength &shape), 4)
    kernel.Arrange(&shape, filters.Pointer, arranged.Pointer)
    arranged.Check()

    [| for image in 0 .. shape.Batch - 1 do
           for first, next in List.pairwise splits do
               use target = new Guarded<float32>((next - first) * shape.Width * stride, 4)
               target.Span.Fill nanf
               let scratch = Scratch.OfThread(InputGradient.ScratchBytes(&shape, next - first))

               kernel.Rows(
                   &shape,
                   image,
                   first,
                   next - first,
                   gradient.Pointer,
                   arranged.Pointer,
                   scratch,
                   target.Pointer
               )

               target.Check()
               yield! target.Values |> Array.chunkBySize stride |> Array.collect (Array.truncate case.Shape.In) |]

let private whole set (case: Case) = compute set case [ 0; case.Shape.Height ]

let private agrees set case expected = nearSums 2e-6 $"{case.Shape}" (whole set case) expected

let private matrix =
    lazy
        [ for i, shape in List.indexed Shapes.matrix ->
              let case = case (int64 i) shape
              case, expected case ]

let private expansion =
    test "binary filters as floats are scale times sign" {
        for channels in [ 1; 16; 64; 64 + 1 ] do
            let mutable bank = FilterBank(3, channels, 2)
            let packed = signs 1UL (3 * 2) channels
            use words = new Guarded<uint64>(packed)
            use scale = new Guarded<float32>([| 0.5f; -2.0f; 3.0f |])
            use target = new Guarded<float32>(3 * 2 * channels, 4)
            BinaryFilters.Expand(&bank, words.Pointer, scale.Pointer, target.Pointer)
            target.Check()

            let expected =
                [| for row in 0..5 do
                       for channel in 0 .. channels - 1 ->
                           scale.Values[row / 2] * (if isPlus packed row channels channel then 1.0f else -1.0f) |]

            Expect.equal target.Values expected $"{channels} channels"
    }

let tests =
    testList
        "input gradients"
        [ testEverySet "equal plain loops, for every tail" (fun set ->
              for case, expected in matrix.Value do
                  agrees set case expected)

          testEverySet "equal plain loops on random shapes" (fun set ->
              forAll 25 (Shapes.random 140 70) (fun shape ->
                  let case = case (shape.Macs % 1000L) shape
                  agrees set case (expected case)))

          testEverySet "have the same bits for every split of an image" (fun set ->
              for stride in 1..3 do
                  let case = case 7L (ConvolutionShape(2, 9, 7, 16 + 3, 5, 3, 3, stride, stride, 1, 1))
                  let whole = whole set case

                  for split in 0 .. case.Shape.Height do
                      sameBits
                          $"{case.Shape}, split before row {split}"
                          (compute set case [ 0; split; case.Shape.Height ])
                          whole)

          test "RowsPerTask is between 1 and the height of the map" {
              for shape in Shapes.matrix @ [ ConvolutionShape(1, 224, 224, 1024, 1024, 3, 3, 1, 1, 1, 1) ] do
                  let mutable shape = shape
                  let rows = InputGradient.RowsPerTask &shape
                  Expect.isTrue (rows >= 1 && rows <= shape.Height) $"{shape}: {rows} rows"
          }

          expansion ]
