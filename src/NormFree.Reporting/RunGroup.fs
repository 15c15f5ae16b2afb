namespace NormFree.Reporting

open System
open System.Text.RegularExpressions
open NormFree.Runs

/// <summary>Runs that differ only in their seeds and machines.</summary>
type RunGroup = { Label: string; Runs: RunLog list }

/// <summary>Groups runs by configuration.</summary>
[<RequireQualifiedAccess>]
module RunGroup =

    /// The prefix of configuration keys that describe the machine.
    let internal environmentPrefix = "environment."

    let internal isEnvironment (key: string) = key.StartsWith(environmentPrefix, StringComparison.Ordinal)

    let private isSeed (key: string) = key = "seed" || key.EndsWith(": seed", StringComparison.Ordinal)

    /// The seed of the first stage that has one.
    let internal seed (run: RunLog) = run.Configuration |> List.tryFind (fst >> isSeed) |> Option.map snd

    /// Runs of several seeds often start from checkpoints whose paths differ only in the seed.
    let private withoutSeedInPath run (key, value: string) =
        match key, seed run with
        | "starts from", Some seed ->
            key, Regex.Replace(value, $@"(?<![\p{{L}}\d]){Regex.Escape seed}(?![\p{{L}}\d])", "SEED")
        | _ -> key, value

    let private settings (run: RunLog) =
        run.Configuration
        |> List.filter (fun (key, _) -> not (isEnvironment key || isSeed key))
        |> List.map (withoutSeedInPath run)

    /// Removes the seed from a label: `bn-free, seed 2` and `bn-free (seed 2)` become `bn-free`.
    let private withoutSeed (label: string) = Regex.Replace(label, @"[\s,;/(-]*\bseed[\s:=-]*\d+\)?", "").Trim()

    let private label (run: RunLog) =
        match withoutSeed run.Label with
        | "" -> run.Label
        | label -> label

    /// <summary>Groups things by their runs' labels and settings, in the order of the first runs. If two groups have the same label, the names of
    /// their first runs are appended.</summary>
    let by (log: 'a -> RunLog) (things: 'a list) : (string * 'a list) list =
        let groups = things |> List.groupBy (log >> fun run -> label run, settings run)
        let counts = groups |> List.countBy (fst >> fst) |> Map.ofList

        [ for (label, _), members in groups ->
              (if counts[label] > 1 then $"{label} ({(log members.Head).Name})" else label), members ]

    /// <summary>Groups runs.</summary>
    let ofRuns (runs: RunLog list) : RunGroup list = [ for label, runs in by id runs -> { Label = label; Runs = runs } ]

    /// <summary>The last epoch of every run, or the first reason why a run has no final test accuracy.</summary>
    let final (group: RunGroup) : Result<EpochRecord list, string> =
        let ofRun (run: RunLog) =
            match List.tryLast run.Epochs with
            | None -> Error $"{run.Label} has no epoch yet"
            | Some _ when not run.Finished -> Error $"{run.Label} is not finished"
            | Some epoch when not (epoch.Test.Top1 >= 0.0 && epoch.Test.Top1 <= 1.0) || epoch.Test.Images <= 0 ->
                Error $"{run.Label} was not tested after its last epoch"
            | Some epoch -> Ok epoch

        (Ok [], List.map ofRun group.Runs)
        ||> List.fold (fun all next -> Result.bind (fun all -> Result.map (fun epoch -> all @ [ epoch ]) next) all)
