/// The XNOR convolution on one thread, layer by layer and instruction set by instruction set, and packing.
module NormFree.Benchmarks.Xnor

#nowarn "9" // Kernels work on addresses.

open System
open Microsoft.FSharp.NativeInterop
open NormFree.Benchmarks.Alternate
open NormFree.Kernels.Bits
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Simd

/// What C with VPOPCNTQ reaches on a core of the machine that the goals are written for.
let private ceiling = 2650.0

let private layer side input output kernel stride =
    let pad = kernel / 2
    ConvolutionShape(1, side, side, input, output, kernel, kernel, stride, stride, pad, pad)

let private groups =
    [ "the goal's layer", [ layer 14 256 256 3 1 ]
      "ReActNet-18, 32×32 images",
      [ layer 32 64 64 3 1
        layer 32 64 128 3 2
        layer 16 128 128 3 1
        layer 16 128 256 3 2
        layer 8 256 256 3 1
        layer 8 256 512 3 2
        layer 4 512 512 3 1 ]
      "ReActNet-A, 224×224 images",
      [ layer 112 32 32 3 1
        layer 112 32 64 1 1
        layer 112 64 64 3 2
        layer 56 64 128 1 1
        layer 56 128 128 3 1
        layer 56 128 128 1 1
        layer 56 128 128 3 2
        layer 28 128 256 1 1
        layer 28 256 256 3 1
        layer 28 256 256 1 1
        layer 28 256 256 3 2
        layer 14 256 512 1 1
        layer 14 512 512 3 1
        layer 14 512 512 1 1
        layer 14 512 512 3 2
        layer 7 512 1024 1 1
        layer 7 1024 1024 3 1
        layer 7 1024 1024 1 1 ] ]

let private name (shape: ConvolutionShape) =
    let stride = if shape.StrideX = 1 then "" else $"/{shape.StrideX}"
    $"{shape.KernelHeight}×{shape.KernelWidth}{stride} {shape.In}→{shape.Out} @ {shape.Height}²"

let private effort = { WarmUp = 50; Rounds = 20; Seconds = 0.5 }

let private random = Random 1

/// Random words; those behind the last channel are no matter of speed.
let private words (count: int) =
    let buffer = new NativeBuffer<uint64>(int64 count)

    for i in 0 .. count - 1 do
        NativePtr.set buffer.Pointer i (uint64 (random.NextInt64()))

    buffer

/// How often a run computes a layer, so that it takes a good part of a millisecond.
let private repetitions (shape: ConvolutionShape) = max 1 (int (300_000_000L / shape.Macs))

let private measure (shape: ConvolutionShape) =
    let perPixel = SignPacking.Words shape.In
    use activations = words (shape.InPixels * perPixel)
    use signs = words (shape.Out * shape.Taps * perPixel)
    use target = new NativeBuffer<int>(int64 shape.OutPixels * int64 shape.Out)
    let mutable copy = shape
    use filters = PreparedFilters.From(&copy, signs.Pointer)

    let version set : Version =
        let convolution = XnorConvolution.For set

        { Name = $"{set}"
          Run =
            fun () ->
                for _ in 1 .. repetitions shape do
                    let mutable shape = shape
                    let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &shape)

                    let mutable rows = OutputRange.Rows(&shape, 0, shape.OutHeight)
                    convolution.Compute(&shape, 0, &rows, activations.Pointer, filters, scratch, target.Pointer) }

    InstructionSets.Supported |> Seq.map version |> List.ofSeq |> run effort

let private convolutions () =
    let sets = [ for set in InstructionSets.Supported -> $"{set}" ]

    printfn
        $"GMAC/s, taps on padding included: median, and the best run in brackets; last its share of {ceiling} GMAC/s.\n"

    for title, shapes in groups do
        printfn $"### {title}\n"

        table
            ("layer" :: sets @ [ "of the ceiling" ])
            [ for shape in shapes ->
                  let timings = measure shape
                  let speed seconds = float shape.Macs * float (repetitions shape) / seconds / 1e9
                  let best = timings |> List.map (fun t -> speed t.Min) |> List.max

                  name shape :: [ for t in timings -> $"{speed t.Median:f0} ({speed t.Min:f0})" ]
                  @ [ $"{best / ceiling:p0}" ] ]

let private packing () =
    printfn "### Packing, GB/s of floats read\n"

    let rows =
        [ for channels, pixels in [ 64, 1024; 64, 65536; 256, 256; 100, 1024 ] do
              use source = (new NativeBuffer<float32>(int64 (channels * pixels))).Cleared()
              use shift = (new NativeBuffer<float32>(int64 channels)).Cleared()
              use target = new NativeBuffer<uint64>(int64 (SignPacking.Words channels * pixels))
              let repetitions = max 1 (1_000_000 / (channels * pixels))

              let version set : Version =
                  let packing = SignPacking.For set

                  { Name = $"{set}"
                    Run =
                      fun () ->
                          for _ in 1..repetitions do
                              packing.Pack(source.Pointer, int64 pixels, channels, 0.98f, shift.Pointer, target.Pointer) }

              let speed seconds = float (4 * channels * pixels * repetitions) / seconds / 1e9
              let timings = InstructionSets.Supported |> Seq.map version |> List.ofSeq |> run effort
              $"{pixels} pixels of {channels} channels" :: [ for t in timings -> $"{speed t.Median:f1}" ] ]

    table ("map" :: [ for set in InstructionSets.Supported -> $"{set}" ]) rows

let run () =
    printfn "## XNOR convolution, one thread\n"
    convolutions ()
    packing ()
