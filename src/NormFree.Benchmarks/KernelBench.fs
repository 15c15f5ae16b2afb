namespace NormFree.Benchmarks

#nowarn "9" // Kernels work on addresses.

open System
open Microsoft.FSharp.NativeInterop
open NormFree.Kernels.Bits
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Kernels.Packed
open NormFree.Kernels.Rooflines
open NormFree.Kernels.Simd
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>Measures the packed engine's binary convolutions on one thread against the machine's roofline.</summary>
[<RequireQualifiedAccess>]
module KernelBench =

    /// Buffer sizes that fit into the L1 cache, fit into the L2 cache, and exceed all caches.
    let private l1, private l2, private memory = 16L <<< 10, 256L <<< 10, 256L <<< 20

    /// Work per timing: about a third of a millisecond for the fastest kernels.
    let private macsPerTiming = 1_000_000_000L

    /// The accumulators of a call fit into the L1 cache, and pixels come in multiples of eight, as in the engine.
    let private accumulatorsPerCall, private pixelMultiple = 8192, 8

    /// Times actions in alternation, for at least this many seconds each.
    let private times (least: float) (actions: (unit -> unit) list) =
        [ for action in actions -> { Name = ""; Run = action } ]
        |> Alternation.run { WarmUp = 1; Rounds = 3; Seconds = least * float actions.Length }
        |> List.map _.Seconds

    /// The best speed: disturbances do not lower a roofline.
    let private best least amount action = amount / 1e9 / List.min (times least [ action ] |> List.head)

    let private reading least (roofline: Roofline) (bytes: int64) =
        use buffer = (new NativeBuffer<float32>(bytes / 4L)).Cleared()
        let passes = int (max 1L (memory / bytes / 4L))

        best least (float bytes * float passes) (fun () ->
            for _ in 1..passes do
                roofline.Read(buffer.Pointer, bytes / 4L) |> ignore)

    let private roofline least (set: InstructionSet) : KernelRoofline =
        let roofline = Roofline.For set
        let rounds = 1_000_000
        let mutable result = 0UL
        let macs = float (roofline.Compute(1, &result)) * float rounds

        let compute () =
            let mutable result = 0UL
            roofline.Compute(rounds, &result) |> ignore

        { InstructionSet = string set
          Operations = roofline.Operations
          GmacsPerSecond = best least macs compute
          L1GbPerSecond = reading least roofline l1
          L2GbPerSecond = reading least roofline l2
          MemoryGbPerSecond = reading least roofline memory }

    let private random = Random 1

    /// Random words. The padding bits after the last channel do not affect speed.
    let private words (count: int) =
        let buffer = new NativeBuffer<uint64>(int64 count)
        random.NextBytes(Span<byte>(NativePtr.toVoidPtr buffer.Pointer, count * sizeof<uint64>))
        buffer

    /// A layer's packed filters and input for one instruction set.
    type private Prepared =
        { Filters: PackedFilters
          Map: NativeBuffer<byte>
          Layout: SignLayout
          Accumulators: NativeBuffer<int> }

        interface IDisposable with
            member p.Dispose() =
                p.Filters.Dispose()
                p.Map.Dispose()
                p.Accumulators.Dispose()

    let private blocks (filters: PackedFilters) = filters.Blocks.ToArray() |> Array.pairwise

    let private pixelsPerCall filters =
        let largest = blocks filters |> Array.map (fun (first, next) -> next - first) |> Array.max
        max pixelMultiple (accumulatorsPerCall / largest / pixelMultiple * pixelMultiple)

    let private prepare (shape: ConvolutionShape) (set: InstructionSet) =
        let perPixel = SignPacking.Words shape.In
        use signs = words (shape.Out * shape.Taps * perPixel)
        use pixels = words (shape.InPixels * perPixel)
        let mutable copy = shape
        let filters = PackedFilters.Create(set, &copy, signs.Pointer)
        let layout = filters.Layout(shape.Height, shape.Width)
        let map = new NativeBuffer<byte>(layout.Bytes)
        filters.FillPadding(SignMap(layout, map.Pointer))
        SignMap(layout, map.Pointer).Encode pixels.Pointer
        let accumulators = new NativeBuffer<int>(int64 (pixelsPerCall filters * shape.Out))
        { Filters = filters; Map = map; Layout = layout; Accumulators = accumulators }

    /// Computes the whole output once, by groups of pixels and blocks of filters.
    let private convolve (shape: ConvolutionShape) (prepared: Prepared) =
        let map, step = SignMap(prepared.Layout, prepared.Map.Pointer), pixelsPerCall prepared.Filters
        let blocks = blocks prepared.Filters

        for first in 0..step .. shape.OutPixels - 1 do
            for filter, next in blocks do
                let mutable range = OutputRange(first, min step (shape.OutPixels - first), filter, next - filter)
                let scratch = Scratch.OfThread prepared.Filters.ScratchBytes
                prepared.Filters.Convolve(map, &range, scratch, prepared.Accumulators.Pointer)

    /// The roofline: the lower limit of arithmetic and of the memory level that holds the layer.
    let private roof (rooflines: KernelRoofline list) (shape: ConvolutionShape) (set: InstructionSet) prepared =
        let roofline = rooflines |> List.find (fun roofline -> roofline.InstructionSet = string set)
        let filters = int64 shape.Out * int64 shape.Taps * int64 ((shape.In + 7) / 8)
        // Accumulators stay in the L1 cache and cause no memory traffic.
        let bytes = filters + prepared.Layout.Bytes

        let bandwidth =
            if bytes <= 2L * l1 then roofline.L1GbPerSecond
            elif bytes <= 4L * l2 then roofline.L2GbPerSecond
            else roofline.MemoryGbPerSecond

        min roofline.GmacsPerSecond (float shape.Macs / float bytes * bandwidth)

    let private speed rooflines (shape: ConvolutionShape) macs (set, prepared, times) : KernelSpeed =
        let speeds = times |> List.map (fun time -> float macs / time / 1e9) |> Spread.Of
        let roof = roof rooflines shape set prepared

        { InstructionSet = string set
          GmacsPerSecond =
            { Median = Medians.round speeds.Median
              Min = Medians.round speeds.Min
              Max = Medians.round speeds.Max }
          RoofGmacsPerSecond = Medians.round roof
          ShareOfRoofline = Medians.round (speeds.Median / roof) }

    let private measureLayer least rooflines (layer: KernelLayer) : KernelResult =
        let shape = layer.Shape
        let repetitions = int (max 1L (macsPerTiming / shape.Macs))
        let sets = List.ofSeq InstructionSets.Supported
        let prepared = sets |> List.map (prepare shape)

        try
            let run prepared () =
                for _ in 1..repetitions do
                    convolve shape prepared

            let times = prepared |> List.map run |> times least
            let macs = shape.Macs * int64 repetitions

            { Network = layer.Network
              Layer = layer.Name
              Macs = shape.Macs
              Speeds = List.zip3 sets prepared times |> List.map (speed rooflines shape macs) }
        finally
            for one in prepared do
                (one :> IDisposable).Dispose()

    /// <summary>Measures the rooflines, then each layer with all instruction sets in alternation.</summary>
    /// <remarks>Throws OperationCanceledException if the job's token is cancelled.</remarks>
    let measure (job: KernelJob) : KernelResults =
        let environment = BenchEnvironment.Now()
        let rooflines = InstructionSets.Supported |> Seq.map (roofline job.Seconds) |> List.ofSeq

        { Threads = 1
          Rooflines = rooflines
          Layers =
            [ for number, layer in List.indexed job.Layers do
                  job.Cancellation.ThrowIfCancellationRequested()
                  let result = measureLayer job.Seconds rooflines layer
                  job.Progress(number + 1)
                  result ]
          Environment = environment }
