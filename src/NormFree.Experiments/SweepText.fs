namespace NormFree.Experiments

open System
open NormFree.Reporting
open NormFree.Runs
open NormFree.Training

/// <summary>The events of a sweep as lines of text.</summary>
[<RequireQualifiedAccess>]
module SweepText =

    let private ending (log: RunLog) =
        match List.tryLast log.Epochs with
        | Some epoch -> $"finished: test top-1 {RunTable.percent epoch.Test.Top1}"
        | None -> "finished"

    /// The line of an event and the run that it is about; none for a step.
    let private message event =
        match event with
        | SweepBegins(name, runs, finished, sideBySide) ->
            Some($"{name}: {runs} runs, {finished} of them finished before; {sideBySide} at most side by side", None)
        | RunBegins(run, folder) -> Some($"begins, in {folder}", Some run)
        | RunTells(run, event) -> EventText.message event |> Option.map (fun line -> line, Some run)
        | RunElsewhere run -> Some("another process trains it", Some run)
        | RunEnds(run, log) -> Some(ending log, Some run)
        | RunFails(run, reason) -> Some($"failed: {reason}", Some run)
        | TimeLeft time -> Some($"about {RunTable.duration time.TotalSeconds} left", None)

    /// <summary>Prints a line for every event but steps, led by the label of its run.</summary>
    let lines event =
        match message event with
        | Some(line, Some run) -> Console.WriteLine $"{run}: {line}"
        | Some(line, None) -> Console.WriteLine line
        | None -> ()
