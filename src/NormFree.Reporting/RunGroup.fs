namespace NormFree.Reporting

open System
open System.Text.RegularExpressions
open NormFree.Runs

/// <summary>Runs that differ in nothing but their seeds.</summary>
type RunGroup = { Label: string; Runs: RunLog list }

/// <summary>Groups runs, so that chance can be told from what was chosen.</summary>
[<RequireQualifiedAccess>]
module RunGroup =

    /// Keys of the configuration that describe the machine, not the run.
    let internal environmentPrefix = "environment."

    let internal isEnvironment (key: string) = key.StartsWith(environmentPrefix, StringComparison.Ordinal)

    let private isSeed (key: string) = key = "seed" || key.EndsWith(": seed", StringComparison.Ordinal)

    let private settings (run: RunLog) =
        run.Configuration |> List.filter (fun (key, _) -> not (isEnvironment key || isSeed key))

    /// A label without what it says of the seed: `bn-free, seed 2` and `bn-free (seed 2)` are of one group.
    let private withoutSeed (label: string) = Regex.Replace(label, @"[\s,;/(-]*\bseed[\s:=-]*\d+\)?", "").Trim()

    let private label (run: RunLog) =
        match withoutSeed run.Label with
        | "" -> run.Label
        | label -> label

    /// <summary>Things that have a run each, by the groups of their runs, which are in the order of their first runs. Two groups of one label have
    /// the names of their first runs added.</summary>
    let by (log: 'a -> RunLog) (things: 'a list) : (string * 'a list) list =
        let groups = things |> List.groupBy (log >> fun run -> label run, settings run)
        let counts = groups |> List.countBy (fst >> fst) |> Map.ofList

        [ for (label, _), members in groups ->
              (if counts[label] > 1 then $"{label} ({(log members.Head).Name})" else label), members ]

    /// <summary>The groups of runs.</summary>
    let ofRuns (runs: RunLog list) : RunGroup list = [ for label, runs in by id runs -> { Label = label; Runs = runs } ]

    /// <summary>Top-1 on the test set after each run's last epoch, where every run is finished and was tested; otherwise why there is none.</summary>
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
