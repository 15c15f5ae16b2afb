namespace NormFree.Experiments

open System
open NormFree.Reporting
open NormFree.Runs
open NormFree.Training

/// <summary>Prints the events of a sweep.</summary>
[<RequireQualifiedAccess>]
module SweepText =

    let private ending (log: RunLog) =
        match List.tryLast log.Epochs with
        | Some epoch -> $"finished: test top-1 {RunTable.percent epoch.Test.Top1}"
        | None -> "finished"

    /// An event's line and its run. None for training steps.
    let private message event =
        match event with
        | SweepStarted(name, runs, finished, maxParallel) ->
            Some($"{name}: {runs} runs, {finished} already finished, at most {maxParallel} in parallel", None)
        | RunStarted(run, folder) -> Some($"starts in {folder}", Some run)
        | RunReported(run, event) -> EventText.message event |> Option.map (fun line -> line, Some run)
        | RunLocked run -> Some("another process is training it", Some run)
        | RunFinished(run, log) -> Some(ending log, Some run)
        | RunFailed(run, reason) -> Some($"failed: {reason}", Some run)
        | TimeLeft time -> Some($"about {RunTable.duration time.TotalSeconds} left", None)

    /// <summary>Prints one line per event, except for training steps, starting with the run's label.</summary>
    let lines event =
        match message event with
        | Some(line, Some run) -> Console.WriteLine $"{run}: {line}"
        | Some(line, None) -> Console.WriteLine line
        | None -> ()
