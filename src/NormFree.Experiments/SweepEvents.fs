namespace NormFree.Experiments

open System
open System.Threading
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>What a sweep tells whoever watches it; runs are told by their labels.</summary>
type SweepEvent =
    /// So many runs, of which so many were finished before, and so many of the others at most go side by side.
    | SweepBegins of name: string * runs: int * finished: int * sideBySide: int
    | RunBegins of run: string * folder: string
    | RunTells of run: string * TrainingEvent
    /// Another process trains it: it is looked at again.
    | RunElsewhere of run: string
    | RunEnds of run: string * RunLog
    | RunFails of run: string * reason: string
    /// At the speed so far.
    | TimeLeft of TimeSpan

/// <summary>How a sweep is done; none of it changes results.</summary>
type SweepSettings =
    {
        /// Experiments' folders are in this one.
        Root: string
        /// Runs at the same time, at most.
        SideBySide: int
        /// Bytes for all of them.
        Memory: int64
        Watch: SweepEvent -> unit
        Cancellation: CancellationToken
    }

    /// <summary>In <c>runs</c>: one run a processor, in what memory the machine has to spare. Nobody watches.</summary>
    static member Default =
        { Root = "runs"
          SideBySide = Environment.ProcessorCount
          Memory = Machine.availableMemory ()
          Watch = ignore
          Cancellation = CancellationToken.None }
