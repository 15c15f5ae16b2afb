/// Float kernels of packed networks (convolutions, affine maps, sums, max-pooling, classifier) against plain loops.
module NormFree.Tests.Kernels.RealTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Kernels.Activations
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Real
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Rounding errors of a sum of a few hundred values, relative to the largest result.
let private tolerance = 2e-6

/// Height, width, channels, filters, kernel rows and columns, stride, padding, around multiples of tiles and vectors.
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

/// Results of all output pixels and channels, computed from the taps of a pixel.
let private results (shape: ConvolutionShape) channels (value: struct (int * int)[] -> int -> float) =
    [| for y in 0 .. shape.OutHeight - 1 do
           for x in 0 .. shape.OutWidth - 1 do
               let taps = Shapes.taps shape y x

               for channel in 0 .. channels - 1 do
                   value taps channel |]

/// Computes the rows in two calls.
let private byParts (shape: ConvolutionShape) channels rows =
    use result = new Guarded<float32>(shape.OutHeight * shape.OutWidth * channels, 4)
    let half = shape.OutHeight / 2

    for first, count in [ 0, half; half, shape.OutHeight - half ] do
        if count > 0 then
            rows first count (NativePtr.add result.Pointer (first * shape.OutWidth * channels))

    result.Check()
    result.Values

let private convolutions set =
    for shape in shapes do
        let pixels = shape.Height * shape.Width
        let image = Shapes.reals 1L (shape.In * pixels)
        let weights, bias = Shapes.reals 2L (shape.Out * shape.In * shape.Taps), Shapes.reals 3L shape.Out

        let expected =
            results shape shape.Out (fun taps o ->
                let product c struct (tap, pixel) =
                    float weights[(o * shape.In + c) * shape.Taps + tap] * float image[c * pixels + pixel]

                float bias[o] + List.sum [ for c in 0 .. shape.In - 1 -> Array.sumBy (product c) taps ])

        let channelsLast = Array.init image.Length (fun i -> image[i % shape.In * pixels + i / shape.In])
        use planar = new Guarded<float32>(image)
        use mixed = new Guarded<float32>(channelsLast)
        use w = new Guarded<float32>(weights)
        use b = new Guarded<float32>(bias)
        use filters = RealFilters.Create(set, &shape, w.Pointer, b.Pointer)

        for source in
            [ RealMap.Planar(planar.Pointer, shape.Height, shape.Width)
              RealMap.ChannelsLast(mixed.Pointer, shape.Height, shape.Width, shape.In) ] do
            let rows first count target =
                let mutable source = source
                let scratch = Scratch.OfThread(filters.ScratchBytes(shape.Width, count))
                filters.Rows(&source, first, count, scratch, target)

            allClose tolerance expected (byParts shape shape.Out rows) $"{shape}"

/// Groups, with the channels and filters of each, around multiples of vectors.
let private groups = [ 2, 3, 4; 3, 2, 33; 16 + 8 + 5, 1, 1; 64, 1, 1; 5, 1, 2; 4, 3, 16 ]

let private groupedConvolutions set =
    for parts, inputs, outputs in groups do
        for shape in shapes do
            let shape =
                ConvolutionShape(
                    1,
                    shape.Height,
                    shape.Width,
                    parts * inputs,
                    parts * outputs,
                    shape.KernelHeight,
                    shape.KernelWidth,
                    shape.StrideY,
                    shape.StrideX,
                    min shape.PadY (shape.KernelHeight - 1),
                    min shape.PadX (shape.KernelWidth - 1)
                )

            let map = Shapes.reals 1L (shape.Height * shape.Width * shape.In)
            let weights, bias = Shapes.reals 2L (shape.Out * inputs * shape.Taps), Shapes.reals 3L shape.Out

            let expected =
                results shape shape.Out (fun taps o ->
                    let product c struct (tap, pixel) =
                        float weights[(o * inputs + c) * shape.Taps + tap]
                        * float map[pixel * shape.In + o / outputs * inputs + c]

                    float bias[o] + List.sum [ for c in 0 .. inputs - 1 -> Array.sumBy (product c) taps ])

            use source = new Guarded<float32>(map)
            use w = new Guarded<float32>(weights)
            use b = new Guarded<float32>(bias)
            use filters = RealFilters.Create(set, &shape, w.Pointer, b.Pointer, parts)

            let rows first count target =
                let mutable source = RealMap.ChannelsLast(source.Pointer, shape.Height, shape.Width, shape.In)
                let scratch = Scratch.OfThread(filters.ScratchBytes(shape.Width, count))
                filters.Rows(&source, first, count, scratch, target)

            allClose tolerance expected (byParts shape shape.Out rows) $"{parts} groups, {shape}"

/// Pixels and channels around multiples of vectors.
let private maps = [ 1, 1; 3, 7; 5, 16; 2, 64 + 3; 7, 33 ]

let private affineMaps set =
    let kernel = ChannelAffine.For set

    for pixels, channels in maps do
        for low, high in [ -infinityf, infinityf; 0.0f, 0.75f; -0.5f, infinityf; -infinityf, 0.25f ] do
            let values, parameters = Shapes.reals 8L (pixels * channels), Shapes.reals 9L (3 * channels)

            let expected =
                values
                |> Array.mapi (fun i x ->
                    let c = i % channels
                    let a = float x * float parameters[c] + float parameters[channels + c]
                    let activated = if a > 0.0 then a else float parameters[2 * channels + c] * a
                    min (float high) (max (float low) activated))

            use numbers = new Guarded<float32>(parameters)
            use source = new Guarded<float32>(values)
            use target = new Guarded<float32>(values.Length, 4)
            kernel.Apply(pixels, channels, numbers.Pointer, low, high, source.Pointer, target.Pointer)
            target.Check()
            allClose tolerance expected target.Values $"{pixels} × {channels} in [{low}, {high}]"
            kernel.Apply(pixels, channels, numbers.Pointer, low, high, source.Pointer, source.Pointer)
            source.Check()
            Expect.equal source.Values target.Values "in place"

let private sums set =
    let kernel = MapAddition.For set

    for pixels, channels in maps do
        for repeats in [ 1; 2; 3 ] do
            let values, shortcut =
                Shapes.reals 10L (pixels * channels * repeats), Shapes.reals 11L (pixels * channels)

            let expected =
                values
                |> Array.mapi (fun i x ->
                    let pixel, channel = i / (channels * repeats), i % channels
                    x + shortcut[pixel * channels + channel])

            use added = new Guarded<float32>(shortcut)
            use source = new Guarded<float32>(values)
            use target = new Guarded<float32>(values.Length, 4)
            kernel.Add(pixels, channels * repeats, source.Pointer, added.Pointer, channels, target.Pointer)
            target.Check()
            Expect.equal target.Values expected $"{pixels} × {channels} × {repeats}"
            kernel.Add(pixels, channels * repeats, source.Pointer, added.Pointer, channels, source.Pointer)
            source.Check()
            Expect.equal source.Values expected "in place"

let private pools set =
    let pooling = MaxPooling.For set

    for shape in shapes do
        // A window of padding only has no maximum.
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

            let map = Shapes.reals 4L (shape.Height * shape.Width * shape.In)
            use source = new Guarded<float32>(map)

            let expected =
                results shape shape.In (fun taps c ->
                    taps |> Array.map (fun struct (_, pixel) -> float map[pixel * shape.In + c]) |> Array.max)

            let rows first count target =
                let mutable shape = shape
                pooling.Rows(&shape, first, count, source.Pointer, target)

            allClose 0.0 expected (byParts shape shape.In rows) $"{shape}"

let private classifiers set =
    for pixels, channels, classes in [ 49, 1024, 16 + 3; 1, 1, 1; 16, 64 + 5, 10; 3, 24, 4 ] do
        let map, weights, bias =
            Shapes.reals 5L (pixels * channels), Shapes.reals 6L (classes * channels), Shapes.reals 7L classes

        use source = new Guarded<float32>(map)
        use w = new Guarded<float32>(weights)
        use b = new Guarded<float32>(bias)
        use classifier = PooledClassifier.Create(set, channels, classes, w.Pointer, b.Pointer)
        use means = new Guarded<float32>(Array.zeroCreate classifier.PaddedChannels)
        use logits = new Guarded<float32>(classes, 4)
        let mean c = Seq.sum (Seq.init pixels (fun p -> float map[p * channels + c])) / float pixels
        let expectedMeans = Array.init channels mean

        let expected =
            Array.init classes (fun k ->
                float bias[k]
                + Seq.sum (Seq.init channels (fun c -> float weights[k * channels + c] * expectedMeans[c])))

        let half = channels / 2
        classifier.Average(pixels, source.Pointer, 0, half, means.Pointer)
        classifier.Average(pixels, source.Pointer, half, channels - half, means.Pointer)
        allClose tolerance expectedMeans (Array.truncate channels means.Values) "means"
        let split = classes / 3
        classifier.Classify(means.Pointer, 0, split, logits.Pointer)
        classifier.Classify(means.Pointer, split, classes - split, logits.Pointer)
        allClose tolerance expected logits.Values "logits"
        means.Check()
        logits.Check()

let tests =
    testList
        "float kernels"
        [ testEverySet "a convolution equals plain sums, planar and channels-last" convolutions
          testEverySet "a convolution in groups equals plain sums" groupedConvolutions
          testEverySet "an affine map equals plain arithmetic" affineMaps
          testEverySet "a sum of maps equals plain sums, with repeated channels" sums
          testEverySet "max-pooling gives the largest value of each window" pools
          testEverySet "a classifier equals means and dot products" classifiers ]
