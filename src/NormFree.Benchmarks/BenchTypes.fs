namespace NormFree.Benchmarks

open System
open System.Threading
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>A training step to measure.</summary>
type BenchJob =
    {
        Net: NormFree.Spec.NetSpec
        /// Its batch, optimiser and clipping; the learning rate is constant.
        Recipe: Recipe
        /// Pixels along a side of the images.
        Image: int
        /// Steps before the first that counts.
        WarmUp: int
        /// Steps that count.
        Steps: int
        /// Also measure each layer.
        Profile: bool
        Execution: Execution
        /// The processes that share each batch, and the parts in which each of them computes its gradients.
        Ranks: IRanks
        Accumulate: int
        /// Called after every step, the warm-up's included, with the number of steps so far.
        Progress: int -> unit
        Cancellation: CancellationToken
    }

    /// <summary>Ten steps of a network on 32×32 images, with the corrected recipe, as trainings have it if nothing is said.</summary>
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

/// <summary>A measurement that was made several times.</summary>
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

/// <summary>Milliseconds of each phase of a training step.</summary>
type PhaseTimes =
    {
        /// Waiting for the loader's next batch, and making tensors of it.
        Data: float
        /// The network, and the loss with its value.
        Forward: float
        /// All gradients of this rank.
        Backward: float
        /// Waiting for other ranks: for those whose forward pass is not done, for the sums once this rank's gradients are there, and for balance.
        Exchange: float
        Clip: float
        /// The optimiser's, and the move of shifts and gains towards balance.
        Step: float
    }

/// <summary>What a step tells other ranks, and what that takes: medians of the first rank.</summary>
type ExchangeCosts =
    {
        /// Of gradients and balance, which each rank gives and gets once.
        Bytes: int64
        Messages: int
        /// Milliseconds in which they were under way; waiting for slower ranks is part of it.
        BusyMs: float
        /// Those of them in which the step did nothing but wait.
        ExposedMs: float
        /// Share of the busy time that the backward pass hides, from 0 to 1.
        Overlap: float
        /// Measured before the steps, while nothing else was done.
        NetworkLink: NetworkLink
    }

/// <summary>What so many nodes are predicted to do.</summary>
type Prediction =
    {
        Nodes: int
        /// Of all nodes together.
        Batch: int
        /// Of the node that has most.
        ImagesPerNode: int
        StepMs: float
        /// Of all messages, if nothing hid them.
        ExchangeMs: float
        /// What is left of it behind the backward pass.
        ExposedMs: float
        ImagesPerSecond: float
        /// Share of what the nodes would do without one another, from 0 to 1.
        Efficiency: float
    }

/// <summary>Predictions from one measurement: the batch of the measurement divided among the nodes, and that batch for each node.</summary>
type ScalingTable = { NetworkLink: NetworkLink; SameBatch: Prediction list; BatchPerNode: Prediction list }

/// <summary>Milliseconds a step of one layer; nothing where the engine cannot tell its layers apart.</summary>
type LayerTimes = { Name: string; ForwardMs: float option; BackwardMs: float option }

/// <summary>Where a measurement was made. It names no machine, user or folder.</summary>
type BenchEnvironment =
    {
        /// NormFree's version, which ends with the commit that was built.
        Version: string
        Processor: string
        Processors: int
        Dotnet: string
        /// Of the last minute before the measurement, where the system tells it.
        LoadAverage: float option
    }

    /// <summary>This machine, before a measurement.</summary>
    static member Now() =
        { Version = BuildVersion.normFree
          Processor = Machine.processor.Value
          Processors = Environment.ProcessorCount
          Dotnet = string Environment.Version
          LoadAverage = Machine.load () }

/// <summary>The speed of a training step; as JSON it is what <c>normfree bench train --json</c> prints.</summary>
type BenchResult =
    {
        Engine: Engine
        Precision: Precision
        Arch: string
        /// Nothing for a full-precision network, as is <c>Binarise</c>.
        Norm: string option
        Binarise: string option
        /// Whether the step keeps signs balanced (deviation 15 of the method).
        Balanced: bool
        Classes: int
        /// Of all ranks together.
        Batch: int
        Ranks: int
        Accumulate: int
        Image: int
        Threads: int
        WarmUp: int
        Steps: int
        /// Of whole steps, from the request of a batch until all temporary tensors are freed.
        ImagesPerSecond: Spread
        /// Of the process, since its start, in MB of 2²⁰ bytes.
        PeakMemoryMb: float
        /// Medians.
        PhaseMs: PhaseTimes
        /// Nothing where a process works alone.
        Exchange: ExchangeCosts option
        /// Where predictions were asked for.
        Scaling: ScalingTable option
        Environment: BenchEnvironment
        /// Medians by layer, in the order of the network, where they were asked for; last what belongs to no layer.
        Profile: LayerTimes list option
    }
