namespace NormFree.Reporting

open System
open System.IO
open NormFree.Formats
open NormFree.Runs

/// <summary>All that a report knows of one run; where something is missing, why.</summary>
type ReportedRun =
    { Log: RunLog
      Telemetry: Result<Telemetry, string>
      Confusion: Result<Confusion, string>
      Deployment: Result<Deployment, string> }

/// <summary>Runs as reports take them.</summary>
[<RequireQualifiedAccess>]
module ReportedRun =

    /// <summary>A run of which there is nothing but the log.</summary>
    let ofLog (log: RunLog) : ReportedRun =
        let reason = "the report was made of its log alone"

        { Log = log; Telemetry = Error reason; Confusion = Error reason; Deployment = Error reason }

    /// A page that lacks a part is better than no page.
    let private part (read: unit -> 'a option) missing =
        try
            match read () with
            | Some part -> Ok part
            | None -> Error missing
        with
        | :? InvalidFileException as error -> Error(error.Message.TrimEnd '.')
        | :? IOException
        | :? UnauthorizedAccessException as error -> Error(error.Message.TrimEnd '.')

    let private telemetry folder =
        part
            (fun () ->
                let telemetry = Telemetry.read folder
                if telemetry.Layers.IsEmpty then None else Some telemetry)
            "its folder has no telemetry, which can be switched off; runs of earlier versions have none"

    let private confusion folder =
        part
            (fun () -> ConfusionFile.read folder)
            "its folder has no confusion.json, which is written when a run ends; runs of earlier versions have none"

    /// <summary>Reads runs from their folders; <c>deployment</c> says what a run's network costs, or why that is unknown.</summary>
    /// <remarks>Throws as <c>RunFolder.readRun</c> does.</remarks>
    let ofFolders (deployment: RunFolder -> Result<Deployment, string>) (folders: RunFolder list) : ReportedRun list =
        let logs = folders |> List.map RunFolder.readRun

        [ for folder, log in List.zip folders logs ->
              { Log = log
                Telemetry = telemetry folder
                Confusion = confusion folder
                Deployment = deployment folder } ]
