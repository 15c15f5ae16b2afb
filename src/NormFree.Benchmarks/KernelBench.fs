namespace NormFree.Benchmarks

#nowarn "9" // Kernels work on addresses.

open System
open System.Diagnostics
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

/// <summary>Measures binary convolutions of the packed engine on one thread, and what the machine would give at best.</summary>
[<RequireQualifiedAccess>]
module KernelBench =

    /// What memory each size of a buffer stands for: well within the first-level and second-level caches of today's processors, and past all.
    let private l1, private l2, private memory = 16L <<< 10, 256L <<< 10, 256L <<< 20

    /// Work between two looks at the clock: about a third of a millisecond at the speed of the fastest kernels.
    let private macsAtOnce = 1_000_000_000L

    /// Counts that a call leaves behind fit a first-level cache, and pixels come eight by eight, as in the engine.
    let private countsAtOnce, private pixelMultiple = 8192, 8

    let private seconds (action: unit -> unit) =
        let start = Stopwatch.GetTimestamp()
        action ()
        Stopwatch.GetElapsedTime(start).TotalSeconds

    /// Rounds of all actions by turns, for so many seconds of each; the first round is a warm-up.
    let private byTurns (least: float) (actions: (unit -> unit) list) =
        for action in actions do
            action ()

        let clock, rounds = Stopwatch.StartNew(), ResizeArray<float list>()

        while rounds.Count < 3 || clock.Elapsed.TotalSeconds < least * float actions.Length do
            rounds.Add(actions |> List.map seconds)

        [ for i in 0 .. actions.Length - 1 -> [ for round in rounds -> round[i] ] ]

    /// The best speed counts: a roof is not lowered by what disturbs it.
    let private best least amount action = amount / 1e9 / List.min (byTurns least [ action ] |> List.head)

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

    /// Random words; those behind the last channel are no matter of speed.
    let private words (count: int) =
        let buffer = new NativeBuffer<uint64>(int64 count)
        random.NextBytes(Span<byte>(NativePtr.toVoidPtr buffer.Pointer, count * sizeof<uint64>))
        buffer

    /// A layer's filters and map for an instruction set.
    type private Prepared =
        { Filters: PackedFilters
          Map: NativeBuffer<byte>
          Layout: SignLayout
          Counts: NativeBuffer<int> }

        interface IDisposable with
            member p.Dispose() =
                p.Filters.Dispose()
                p.Map.Dispose()
                p.Counts.Dispose()

    let private blocks (filters: PackedFilters) = filters.Blocks.ToArray() |> Array.pairwise

    let private pixelsAtOnce filters =
        let largest = blocks filters |> Array.map (fun (first, next) -> next - first) |> Array.max
        max pixelMultiple (countsAtOnce / largest / pixelMultiple * pixelMultiple)

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
        let counts = new NativeBuffer<int>(int64 (pixelsAtOnce filters * shape.Out))
        { Filters = filters; Map = map; Layout = layout; Counts = counts }

    /// The whole output once: pieces of pixels × blocks of filters.
    let private convolve (shape: ConvolutionShape) (prepared: Prepared) =
        let map, step = SignMap(prepared.Layout, prepared.Map.Pointer), pixelsAtOnce prepared.Filters
        let blocks = blocks prepared.Filters

        for first in 0..step .. shape.OutPixels - 1 do
            for filter, next in blocks do
                let mutable range = OutputRange(first, min step (shape.OutPixels - first), filter, next - filter)
                let scratch = Scratch.OfThread prepared.Filters.ScratchBytes
                prepared.Filters.Convolve(map, &range, scratch, prepared.Counts.Pointer)

    /// The lower of two roofs: what the operations allow, and what the memory that the layer fits into does.
    let private roof (rooflines: KernelRoofline list) (shape: ConvolutionShape) (set: InstructionSet) prepared =
        let roofline = rooflines |> List.find (fun roofline -> roofline.InstructionSet = string set)
        let filters = int64 shape.Out * int64 shape.Taps * int64 ((shape.In + 7) / 8)
        // Counts stay in the first-level cache, and are not what memory has to bring.
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
        let repetitions = int (max 1L (macsAtOnce / shape.Macs))
        let sets = List.ofSeq InstructionSets.Supported
        let prepared = sets |> List.map (prepare shape)

        try
            let run prepared () =
                for _ in 1..repetitions do
                    convolve shape prepared

            let times = prepared |> List.map run |> byTurns least
            let macs = shape.Macs * int64 repetitions

            { Network = layer.Network
              Layer = layer.Name
              Macs = shape.Macs
              Speeds = List.zip3 sets prepared times |> List.map (speed rooflines shape macs) }
        finally
            for one in prepared do
                (one :> IDisposable).Dispose()

    /// <summary>The rooflines, then each layer with every instruction set by turns.</summary>
    /// <remarks>Throws OperationCanceledException where the job's token was cancelled.</remarks>
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
