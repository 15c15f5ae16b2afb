namespace NormFree.Training

open System
open NormFree.Data

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
    | StageBegins of stage: string * epochs: int * imagesPerEpoch: int
    | StepDone of StepReport
    | ImageSkipped of Unreadable
    | EpochDone of EpochRecord
    | Resumed of stage: string * epoch: int
    | Warning of string

/// <summary>How the work is done: none of it changes results, but for the number of threads and the engine in the last bits of sums, and the
/// precision by its rounding.</summary>
type Surroundings =
    {
        /// How networks are computed.
        Execution: Execution
        /// Where they are trained.
        Device: Device
        /// Threads that decode and augment images.
        Workers: int
        /// An image that cannot be read ends the work instead of being left out.
        Strict: bool
        Watch: TrainingEvent -> unit
        Cancellation: Threading.CancellationToken
    }

    /// <summary>Nobody watches; unreadable images are left out.</summary>
    static member Default =
        { Execution = Execution.Default
          Device = Cpu
          Workers = max 1 (Environment.ProcessorCount - 1)
          Strict = false
          Watch = ignore
          Cancellation = Threading.CancellationToken.None }
