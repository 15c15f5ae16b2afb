namespace NormFree.Reporting

open System
open System.IO
open NormFree.Formats
open NormFree.Runs

/// <summary>The parts of a run that a report shows. The error of a missing part is the reason.</summary>
type ReportedRun =
    { Log: RunLog
      Telemetry: Result<Telemetry, string>
      Confusion: Result<Confusion, string>
      Deployment: Result<Deployment, string> }

/// <summary>Reads runs for reports.</summary>
[<RequireQualifiedAccess>]
module ReportedRun =

    /// <summary>A run with nothing but its log.</summary>
    let ofLog (log: RunLog) : ReportedRun =
        let reason = "the report has only its log"

        { Log = log; Telemetry = Error reason; Confusion = Error reason; Deployment = Error reason }

    /// A missing or damaged part does not prevent the report.
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
            "its folder has none (it was switched off, or the run is from an earlier version)"

    let private confusion folder =
        part
            (fun () -> ConfusionFile.read folder)
            "its folder has no confusion.json (it is written when a run finishes)"

    /// <summary>Reads runs from their folders. <c>deployment</c> returns a network's cost, or why it is unknown.</summary>
    /// <remarks>Throws the exceptions of <c>RunFolder.readRun</c>.</remarks>
    let ofFolders (deployment: RunFolder -> Result<Deployment, string>) (folders: RunFolder list) : ReportedRun list =
        let logs = folders |> List.map RunFolder.readRun

        [ for folder, log in List.zip folders logs ->
              { Log = log
                Telemetry = telemetry folder
                Confusion = confusion folder
                Deployment = deployment folder } ]
