namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs

/// <summary>How far a stage is.</summary>
type StepReport =
    {
        Stage: string
        /// From 1.
        Epoch: int
        Epochs: int
        /// Images of this epoch that are done, of so many.
        Images: int
        Total: int
        /// Means over the epoch so far.
        Loss: float
        Top1: float
        /// Over the epoch so far, data included.
        ImagesPerSecond: float
        /// Until the end of the stage at that speed, without its evaluations.
        Remaining: TimeSpan
    }

/// <summary>What a training tells whoever watches it.</summary>
type TrainingEvent =
    | StageStarted of stage: string * epochs: int * imagesPerEpoch: int
    | StepDone of StepReport
    | ImageSkipped of UnreadableImage
    | EpochDone of EpochRecord
    /// So many epochs of the stage were done already, and so many batches of the next one.
    | Resumed of stage: string * epochs: int * batches: int
    /// Something is wrong with the network's numbers.
    | NumericalIssueFound of NumericalIssue
    | Warning of string

/// <summary>How the work is done: none of it changes results, but for the number of threads, the engine and the division of batches in the last bits
/// of sums, the precision by its rounding, and what becomes of numbers that are not finite. Batch norm alone computes something else where batches
/// are divided.</summary>
type RunOptions =
    {
        /// How networks are computed.
        Execution: Execution
        /// Where they are trained.
        Device: Device
        /// Threads that decode and augment images.
        Workers: int
        /// An image that cannot be read ends the work instead of being left out.
        Strict: bool
        CheckpointPolicy: CheckpointPolicy
        OnNonFinite: OnNonFinite
        /// Of runs that have a folder.
        Telemetry: Sampling
        Watch: TrainingEvent -> unit
        Cancellation: Threading.CancellationToken
        /// The processes that train together; each has surroundings of its own. The first one alone writes to the run's folder.
        Ranks: IRanks
        /// Parts in which each rank computes its gradients, one after the other: less memory for large batches.
        Accumulate: int
    }

    /// <summary>Into how many parts batches are divided.</summary>
    member s.BatchPartition = { Ranks = s.Ranks.Size; Accumulate = s.Accumulate }

    /// <summary>Nobody watches; unreadable images are left out.</summary>
    static member Default =
        { Execution = Execution.Default
          Device = Cpu
          Workers = max 1 (Environment.ProcessorCount - 1)
          Strict = false
          CheckpointPolicy = CheckpointPolicy.Default
          OnNonFinite = Stop
          Telemetry = Sampling.Default
          Watch = ignore
          Cancellation = Threading.CancellationToken.None
          Ranks = OneRank.Instance
          Accumulate = 1 }
