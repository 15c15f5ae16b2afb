namespace NormFree.Experiments

open System
open System.Collections.Generic
open System.Threading
open NormFree.Runs

/// <summary>Which run begins next: the longest that fits.</summary>
[<RequireQualifiedAccess>]
module internal RunOrder =

    /// <summary>The longest runs first, so that all processors have work until the end.</summary>
    let longestFirst (runs: ExperimentRun list) = runs |> List.sortByDescending (fun run -> List.sumBy snd run.Work)

    /// <summary>The first of those waiting that fits into what the running ones leave of the memory. Where none runs, the first goes in any case: it
    /// will not fit better later.</summary>
    let next (memory: int64) (running: ExperimentRun list) (waiting: ExperimentRun list) : ExperimentRun option =
        let free = memory - List.sumBy _.Memory running

        match running with
        | [] -> List.tryHead waiting
        | _ -> waiting |> List.tryFind (fun run -> run.Memory <= free)

/// <summary>The runs that are to be done, for several threads to take from.</summary>
[<Sealed>]
type internal RunQueue(memory: int64, runs: ExperimentRun list, cancellation: CancellationToken) =

    let patience = TimeSpan.FromSeconds 2.0
    let gate = obj ()
    let mutable waiting = RunOrder.longestFirst runs
    let mutable running: ExperimentRun list = []
    /// Another process is at work on these: each with the time to look at it again.
    let mutable putOff: (ExperimentRun * DateTime) list = []

    let elsewhere = HashSet<string>()

    let without run runs = runs |> List.filter (fun other -> not (obj.ReferenceEquals(other, run)))

    /// What was put off goes behind the others.
    let takeBack () =
        let due, later = putOff |> List.partition (fun (_, time) -> time <= DateTime.UtcNow)
        putOff <- later
        waiting <- waiting @ List.map fst due

    let rec take () =
        takeBack ()

        if cancellation.IsCancellationRequested || (waiting.IsEmpty && putOff.IsEmpty) then
            None
        else
            match RunOrder.next memory running waiting with
            | Some run ->
                waiting <- without run waiting
                running <- run :: running
                Some run
            | None ->
                Monitor.Wait(gate, patience) |> ignore
                take ()

    let ends run (change: unit -> unit) =
        lock gate (fun () ->
            running <- without run running
            change ()
            Monitor.PulseAll gate)

    /// <summary>The run to begin now, as soon as one may; nothing where none is left or the work is cancelled.</summary>
    member _.Take() = lock gate take

    /// <summary>A run that was taken has ended, one way or the other.</summary>
    member _.Done run = ends run ignore

    /// <summary>A run that was taken is another process's for now; whether that is news.</summary>
    member _.PutOff(run: ExperimentRun) : bool =
        ends run (fun () -> putOff <- putOff @ [ run, DateTime.UtcNow + patience ])
        lock gate (fun () -> elsewhere.Add run.Key)
