/// First convolutions, max-pools and classifiers of packed networks against plain loops.
module NormFree.Tests.Kernels.RealTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Real
open NormFree.Kernels.Simd

/// Relative to the largest value: a sum of some hundred roundings.
let private tolerance = 2e-6

let private floats seed count =
    let stream = RandomStream.OfSeed seed
    Array.init count (fun _ -> float32 (stream.Between(-1.0, 1.0)))

/// Height, width, channels, filters, kernel rows and columns, strides, padding: sums name the tail of a tile or of a vector.
let private shapes =
    [ for height, width, channels, filters, rows, columns, stride, padding in
          [ 6, 6 + 3, 3, 32 + 3, 3, 3, 1, 1
            13, 2 * 6 * 2 + 1, 3, 32, 3, 3, 2, 1
            15, 17, 3, 64, 7, 7, 2, 3
            5, 7, 1, 1, 5, 5, 1, 2
            9, 8, 4, 16 + 5, 2, 3, 3, 0
            1, 1, 2, 8, 1, 1, 1, 0
            2, 1, 3, 7, 3, 3, 1, 2 ] ->
          ConvolutionShape(1, height, width, channels, filters, rows, columns, stride, stride, padding, padding) ]

/// The input's values at the taps of an output pixel: channel, tap, value.
let private taps (shape: ConvolutionShape) y x =
    [ for i in 0 .. shape.KernelHeight - 1 do
          for j in 0 .. shape.KernelWidth - 1 do
              let row, column = y * shape.StrideY + i - shape.PadY, x * shape.StrideX + j - shape.PadX

              if row >= 0 && row < shape.Height && column >= 0 && column < shape.Width then
                  i * shape.KernelWidth + j, row * shape.Width + column ]

let private results (shape: ConvolutionShape) channels (value: (int * int) list -> int -> float) =
    [| for y in 0 .. shape.OutHeight - 1 do
           for x in 0 .. shape.OutWidth - 1 do
               let at = taps shape y x

               for channel in 0 .. channels - 1 do
                   value at channel |]

/// In two parts, as two tasks.
let private byParts (shape: ConvolutionShape) channels rows =
    use result = new Support.Guarded<float32>(shape.OutHeight * shape.OutWidth * channels, 4)
    let half = shape.OutHeight / 2

    for first, count in [ 0, half; half, shape.OutHeight - half ] do
        if count > 0 then
            rows first count (NativePtr.add result.Pointer (first * shape.OutWidth * channels))

    result.Check()
    result.Values

let private convolutions set =
    for shape in shapes do
        let pixels = shape.Height * shape.Width
        let image = floats 1UL (shape.In * pixels)
        let weights, bias = floats 2UL (shape.Out * shape.In * shape.Taps), floats 3UL shape.Out

        let expected =
            results shape shape.Out (fun at o ->
                let product c (tap, pixel) =
                    float weights[(o * shape.In + c) * shape.Taps + tap] * float image[c * pixels + pixel]

                float bias[o] + List.sum [ for c in 0 .. shape.In - 1 -> List.sumBy (product c) at ])

        let lastChannels = Array.init image.Length (fun i -> image[i % shape.In * pixels + i / shape.In])
        use planar = new Support.Guarded<float32>(image)
        use mixed = new Support.Guarded<float32>(lastChannels)
        use w = new Support.Guarded<float32>(weights)
        use b = new Support.Guarded<float32>(bias)
        use filters = RealFilters.Create(set, &shape, w.Pointer, b.Pointer)

        for source in
            [ RealMap.Planar(planar.Pointer, shape.Height, shape.Width)
              RealMap.ChannelsLast(mixed.Pointer, shape.Height, shape.Width, shape.In) ] do
            let rows first count target =
                let mutable source = source
                let scratch = Scratch.OfThread(filters.ScratchBytes(shape.Width, count))
                filters.Rows(&source, first, count, scratch, target)

            Comparison.allClose tolerance expected (byParts shape shape.Out rows) $"{shape}"

let private pools set =
    let pooling = MaxPooling.For set

    for shape in shapes do
        // A window without a pixel has no largest value.
        if shape.PadY < shape.KernelHeight && shape.Height > shape.PadY then
            let shape =
                ConvolutionShape(
                    1,
                    shape.Height,
                    shape.Width,
                    shape.Out,
                    shape.Out,
                    shape.KernelHeight,
                    shape.KernelWidth,
                    shape.StrideY,
                    shape.StrideX,
                    min 1 (shape.PadY),
                    min 1 (shape.PadX)
                )

            let map = floats 4UL (shape.Height * shape.Width * shape.In)
            use source = new Support.Guarded<float32>(map)

            let expected =
                results shape shape.In (fun at c ->
                    at |> List.map (fun (_, pixel) -> float map[pixel * shape.In + c]) |> List.max)

            let rows first count target =
                let mutable shape = shape
                pooling.Rows(&shape, first, count, source.Pointer, target)

            Comparison.allClose 0.0 expected (byParts shape shape.In rows) $"{shape}"

let private classifiers set =
    for pixels, channels, classes in [ 49, 1024, 16 + 3; 1, 1, 1; 16, 64 + 5, 10; 3, 24, 4 ] do
        let map, weights, bias =
            floats 5UL (pixels * channels), floats 6UL (classes * channels), floats 7UL classes

        use source = new Support.Guarded<float32>(map)
        use w = new Support.Guarded<float32>(weights)
        use b = new Support.Guarded<float32>(bias)
        use classifier = PooledClassifier.Create(set, channels, classes, w.Pointer, b.Pointer)
        use means = new Support.Guarded<float32>(Array.zeroCreate classifier.PaddedChannels)
        use logits = new Support.Guarded<float32>(classes, 4)
        let mean c = Seq.sum (Seq.init pixels (fun p -> float map[p * channels + c])) / float pixels
        let ofChannels = Array.init channels mean

        let expected =
            Array.init classes (fun k ->
                float bias[k]
                + Seq.sum (Seq.init channels (fun c -> float weights[k * channels + c] * ofChannels[c])))

        let half = channels / 2
        classifier.Average(pixels, source.Pointer, 0, half, means.Pointer)
        classifier.Average(pixels, source.Pointer, half, channels - half, means.Pointer)
        Comparison.allClose tolerance ofChannels (Array.truncate channels means.Values) "means"
        let split = classes / 3
        classifier.Classify(means.Pointer, 0, split, logits.Pointer)
        classifier.Classify(means.Pointer, split, classes - split, logits.Pointer)
        Comparison.allClose tolerance expected logits.Values "logits"
        means.Check()
        logits.Check()

let tests =
    testList
        "Real kernels"
        [ Support.testEverySet "first convolutions are plain sums, planar or channels-last" convolutions
          Support.testEverySet "a max-pool is the largest value under each window" pools
          Support.testEverySet "a classifier is means and scalar products" classifiers ]
