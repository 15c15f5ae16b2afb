namespace NormFree.Benchmarks

open System
open System.Globalization
open System.Threading
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>A training step to measure.</summary>
type BenchJob =
    {
        Net: NormFree.Spec.NetSpec
        /// Batch, optimiser and clipping. The learning rate is constant.
        Recipe: Recipe
        /// Side of the images in pixels.
        Image: int
        /// Steps before the measured ones.
        WarmUp: int
        /// Measured steps.
        Steps: int
        /// Whether to measure each layer.
        Profile: bool
        Execution: Execution
        /// The processes that share each batch; each computes its gradients in <c>Accumulate</c> parts.
        Ranks: IRanks
        Accumulate: int
        /// Called after every step, including the warm-up, with the number of steps so far.
        Progress: int -> unit
        Cancellation: CancellationToken
    }

    /// <summary>Ten steps on 64 images of 32×32, with training's default recipe.</summary>
    static member Default net =
        { Net = net
          Recipe = { Recipe.corrected with Batch = 64 }
          Image = 32
          WarmUp = 2
          Steps = 10
          Profile = false
          Execution = Execution.Default
          Ranks = OneRank.Instance
          Accumulate = 1
          Progress = ignore
          Cancellation = CancellationToken.None }

/// <summary>The median and range of repeated measurements.</summary>
type Spread =
    { Median: float
      Min: float
      Max: float }

    /// <summary>Of at least one value.</summary>
    static member Of(values: float list) =
        let sorted = List.sort values
        let middle = (sorted.Length - 1) / 2

        { Median = (sorted[middle] + sorted[sorted.Length / 2]) / 2.0
          Min = List.head sorted
          Max = List.last sorted }

    /// <summary>Median (lowest–highest), with this many decimals.</summary>
    member s.Text(digits: int) =
        let text (value: float) = value.ToString($"F{digits}", CultureInfo.InvariantCulture)
        $"{text s.Median} ({text s.Min}–{text s.Max})"

/// <summary>Milliseconds of each phase of a training step.</summary>
type PhaseTimes =
    {
        /// Waiting for the loader's next batch, and copying it into tensors.
        Data: float
        /// The network and the loss.
        Forward: float
        /// This rank's gradients.
        Backward: float
        /// Waiting for other ranks: for slower forward passes, for sums after this rank's gradients, and for sign centering.
        Exchange: float
        Clip: float
        /// The optimiser, and sign centering's update of shifts and gains.
        Step: float
    }

/// <summary>The communication of a step: medians of the first rank.</summary>
type ExchangeCosts =
    {
        /// Of gradients and sign centering, sent and received once per rank.
        Bytes: int64
        Messages: int
        /// Milliseconds in which a sum was in flight, including waiting for slower ranks.
        BusyMs: float
        /// Milliseconds in which the step only waited.
        ExposedMs: float
        /// Share of the busy time hidden by the backward pass, from 0 to 1.
        Overlap: float
        /// Measured before the steps, on idle ranks.
        NetworkLink: NetworkLink
    }

/// <summary>The predicted step of a number of nodes.</summary>
type Prediction =
    {
        Nodes: int
        /// Of all nodes together.
        Batch: int
        /// Of the node with the most images.
        ImagesPerNode: int
        StepMs: float
        /// The duration of all messages.
        ExchangeMs: float
        /// The part of it after the backward pass.
        ExposedMs: float
        ImagesPerSecond: float
        /// Speed relative to independent nodes, from 0 to 1.
        Efficiency: float
    }

/// <summary>Predictions from one measurement: with its batch split over the nodes, and with its batch on each node.</summary>
type ScalingTable = { NetworkLink: NetworkLink; SameBatch: Prediction list; BatchPerNode: Prediction list }

/// <summary>Milliseconds per step of one layer. None if the engine does not measure that pass by layer.</summary>
type LayerTimes = { Name: string; ForwardMs: float option; BackwardMs: float option }

/// <summary>The machine and build of a measurement. It names no host, user or folder.</summary>
type BenchEnvironment =
    {
        /// NormFree's version, with its commit.
        Version: string
        Processor: string
        /// Of the kernels; libtorch is limited to it too if <c>--instructions</c> chose it. ONNX Runtime cannot be limited.
        Instructions: string
        Processors: int
        Dotnet: string
        /// Of the last minute before the measurement. None if unknown.
        LoadAverage: float option
    }

    /// <summary>This machine now.</summary>
    static member Now() =
        { Version = BuildVersion.normFree
          Processor = Machine.processor.Value
          Instructions = (string NormFree.Kernels.Simd.InstructionSets.Best).ToLowerInvariant()
          Processors = Environment.ProcessorCount
          Dotnet = string Environment.Version
          LoadAverage = Machine.load () }

/// <summary>The speed of a training step: the output of <c>normfree bench train --json</c>.</summary>
type BenchResult =
    {
        Engine: Engine
        Precision: Precision
        Arch: string
        /// None for a full-precision network, as is <c>Binarise</c>.
        Norm: string option
        Binarise: string option
        /// Whether the step centres signs (deviation 15 of the method).
        SignCentering: bool
        Classes: int
        /// Of all ranks together.
        Batch: int
        Ranks: int
        Accumulate: int
        Image: int
        Threads: int
        WarmUp: int
        Steps: int
        /// Of whole steps, from requesting the batch to freeing all temporary tensors.
        ImagesPerSecond: Spread
        /// Of the process since its start, in MB of 2²⁰ bytes.
        PeakMemoryMb: float
        /// Medians.
        PhaseMs: PhaseTimes
        /// None for a single process.
        Exchange: ExchangeCosts option
        /// None unless requested.
        Scaling: ScalingTable option
        Environment: BenchEnvironment
        /// Medians by layer in the order of the network, and last the rest of the step. None unless requested.
        Profile: LayerTimes list option
    }
