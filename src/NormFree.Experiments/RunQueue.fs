namespace NormFree.Experiments

open System
open System.Collections.Generic
open System.Threading
open NormFree.Runs

/// <summary>Picks the next run: the longest that fits into memory.</summary>
[<RequireQualifiedAccess>]
module internal RunOrder =

    /// <summary>Longest runs first, which keeps all processors busy until the end.</summary>
    let longestFirst (runs: ExperimentRun list) = runs |> List.sortByDescending (fun run -> List.sumBy snd run.Work)

    /// <summary>The first waiting run that fits into the remaining memory. If nothing runs, the first waiting run is started anyway: it will not
    /// fit better later.</summary>
    let next (memory: int64) (running: ExperimentRun list) (waiting: ExperimentRun list) : ExperimentRun option =
        let free = memory - List.sumBy _.Memory running

        match running with
        | [] -> List.tryHead waiting
        | _ -> waiting |> List.tryFind (fun run -> run.Memory <= free)

/// <summary>The runs to train, shared by several threads.</summary>
[<Sealed>]
type internal RunQueue(memory: int64, runs: ExperimentRun list, cancellation: CancellationToken) =

    let retryInterval = TimeSpan.FromSeconds 2.0
    let gate = obj ()
    let mutable waiting = RunOrder.longestFirst runs
    let mutable running: ExperimentRun list = []
    /// Runs that another process holds, each with the time of the next try.
    let mutable postponed: (ExperimentRun * DateTime) list = []

    let reported = HashSet<string>()

    let without run runs = runs |> List.filter (fun other -> not (obj.ReferenceEquals(other, run)))

    /// Postponed runs that are due go to the end of the queue.
    let requeue () =
        let due, later = postponed |> List.partition (fun (_, time) -> time <= DateTime.UtcNow)
        postponed <- later
        waiting <- waiting @ List.map fst due

    let rec take () =
        requeue ()

        if cancellation.IsCancellationRequested || (waiting.IsEmpty && postponed.IsEmpty) then
            None
        else
            match RunOrder.next memory running waiting with
            | Some run ->
                waiting <- without run waiting
                running <- run :: running
                Some run
            | None ->
                Monitor.Wait(gate, retryInterval) |> ignore
                take ()

    let release run (change: unit -> unit) =
        lock gate (fun () ->
            running <- without run running
            change ()
            Monitor.PulseAll gate)

    /// <summary>Waits for a run that may start. None if no runs are left or the sweep is cancelled.</summary>
    member _.Take() = lock gate take

    /// <summary>Releases a finished or failed run.</summary>
    member _.Done run = release run ignore

    /// <summary>Postpones a run that another process holds. True the first time for each run.</summary>
    member _.Postpone(run: ExperimentRun) : bool =
        release run (fun () -> postponed <- postponed @ [ run, DateTime.UtcNow + retryInterval ])
        lock gate (fun () -> reported.Add run.Key)
