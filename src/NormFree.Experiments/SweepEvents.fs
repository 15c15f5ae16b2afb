namespace NormFree.Experiments

open System
open System.Threading
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>Events of a sweep. Runs are named by their labels.</summary>
type SweepEvent =
    /// The number of runs, how many of them were finished before, and how many of the others run in parallel at most.
    | SweepStarted of name: string * runs: int * finished: int * maxParallel: int
    | RunStarted of run: string * folder: string
    | RunReported of run: string * TrainingEvent
    /// Another process is training this run; it is tried again later.
    | RunLocked of run: string
    | RunFinished of run: string * RunLog
    | RunFailed of run: string * reason: string
    /// Extrapolated from the speed so far.
    | TimeLeft of TimeSpan

/// <summary>How a sweep is executed. No setting changes results.</summary>
type SweepSettings =
    {
        /// The parent of the experiments' folders.
        Root: string
        /// The largest number of parallel runs.
        MaxParallel: int
        /// Bytes for all parallel runs.
        Memory: int64
        OnEvent: SweepEvent -> unit
        Cancellation: CancellationToken
    }

    /// <summary>In <c>runs</c>: one run per processor, within the machine's free memory, no event handler.</summary>
    static member Default =
        { Root = "runs"
          MaxParallel = Environment.ProcessorCount
          Memory = Machine.availableMemory ()
          OnEvent = ignore
          Cancellation = CancellationToken.None }
