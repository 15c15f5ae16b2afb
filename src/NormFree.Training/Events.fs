namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs

/// <summary>The progress of a stage.</summary>
type StepReport =
    {
        Stage: string
        /// From 1.
        Epoch: int
        Epochs: int
        /// Images of this epoch that are done.
        Images: int
        /// Images per epoch.
        Total: int
        /// Means over the epoch so far.
        Loss: float
        Top1: float
        /// Over the epoch so far, data loading included.
        ImagesPerSecond: float
        /// Estimated time to the end of the stage, without evaluations.
        Remaining: TimeSpan
    }

/// <summary>An event of a training, as passed to <c>RunOptions.OnEvent</c>.</summary>
type TrainingEvent =
    | StageStarted of stage: string * epochs: int * imagesPerEpoch: int
    | StepDone of StepReport
    | ImageSkipped of UnreadableImage
    | EpochDone of EpochRecord
    /// A stage resumes after this many epochs and this many batches of the next epoch.
    | Resumed of stage: string * epochs: int * batches: int
    /// NaN, infinity or an exploding gradient was found.
    | NumericalIssueFound of NumericalIssue
    | Warning of string

/// <summary>How a training is executed.</summary>
/// <remarks>
/// Threads, engine and batch partition change only the rounding of sums; the precision changes rounding; <c>OnNonFinite</c> matters only after NaN
/// or infinity. Nothing else changes results, except that batch norm uses the statistics of each part of a partitioned batch.
/// </remarks>
type RunOptions =
    {
        /// Engine and precision.
        Execution: Execution
        Device: Device
        /// Threads that decode and augment images.
        Workers: int
        /// An unreadable image raises an error instead of being skipped.
        Strict: bool
        CheckpointPolicy: CheckpointPolicy
        OnNonFinite: OnNonFinite
        /// Sampling of the layers; used only by runs with a folder.
        Telemetry: Sampling
        OnEvent: TrainingEvent -> unit
        Cancellation: Threading.CancellationToken
        /// When the training stops between two steps, writes a checkpoint, and throws <c>DeadlineException</c>. Several ranks first finish an
        /// evaluation that is running.
        Deadline: DateTimeOffset option
        /// The processes of a distributed training, each with its own options. Only the first one writes to the run folder.
        Ranks: IRanks
        /// Micro-batches per rank and step, which are computed in turn to save memory.
        Accumulate: int
    }

    /// <summary>How batches are partitioned.</summary>
    member s.BatchPartition = { Ranks = s.Ranks.Size; Accumulate = s.Accumulate }

    /// <summary>No event handler; unreadable images are skipped.</summary>
    static member Default =
        { Execution = Execution.Default
          Device = Cpu
          Workers = max 1 (Environment.ProcessorCount - 1)
          Strict = false
          CheckpointPolicy = CheckpointPolicy.Default
          OnNonFinite = Stop
          Telemetry = Sampling.Default
          OnEvent = ignore
          Cancellation = Threading.CancellationToken.None
          Deadline = None
          Ranks = OneRank.Instance
          Accumulate = 1 }
