namespace NormFree.Reporting

open NormFree.Formats
open NormFree.Training

/// <summary>All that a report knows of one run; where something is missing, why.</summary>
type ReportedRun =
    {
        Log: RunLog
        /// Empty where nothing was kept.
        Telemetry: Telemetry
        Confusion: Result<Confusion, string>
        Deployment: Result<Deployment, string>
    }

/// <summary>Runs as reports take them.</summary>
[<RequireQualifiedAccess>]
module ReportedRun =

    /// <summary>A run of which there is nothing but the log.</summary>
    let ofLog (log: RunLog) : ReportedRun =
        let reason = "the report was made of its log alone"

        { Log = log
          Telemetry = { Layers = []; Channels = [] }
          Confusion = Error reason
          Deployment = Error reason }

    let private telemetryOf (_: RunFolder) : Telemetry = { Layers = []; Channels = [] }

    /// A page that lacks a picture is better than no page.
    let private confusion folder =
        try
            match ConfusionFile.read folder with
            | Some confusion -> Ok confusion
            | None -> Error "its folder has no confusion.json, which is written when a run ends; runs of earlier versions have none"
        with :? InvalidFileException as error ->
            Error(error.Message.TrimEnd '.')

    /// <summary>Runs as their folders tell them.</summary>
    /// <remarks>Throws as <c>RunFolder.readRun</c> does.</remarks>
    let ofFolders (speed: SpeedChoice) (folders: RunFolder list) : ReportedRun list =
        let logs = folders |> List.map RunFolder.readRun
        let measure = Deployment.measuring speed

        [ for folder, log in List.zip folders logs ->
              { Log = log
                Telemetry = telemetryOf folder
                Confusion = confusion folder
                Deployment = Deployment.ofFolder measure folder } ]
