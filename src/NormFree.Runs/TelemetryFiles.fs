namespace NormFree.Runs

open System
open System.IO
open System.Text.RegularExpressions

/// <summary>The telemetry files of a run folder, two for each epoch of a stage: <c>telemetry/stage1-epoch003.parquet</c> for layers and
/// <c>telemetry/stage1-epoch003-channels.parquet</c> for channels. <c>telemetry/stage2-transition.parquet</c> is about the start of stage 2.</summary>
[<RequireQualifiedAccess>]
module internal TelemetryFiles =

    let private name = Regex(@"^stage(\d{1,3})-epoch(\d{1,9})(-channels)?\.parquet$")

    let layers (folder: RunFolder) (stage: int) (epoch: int) =
        Path.Combine(folder.Telemetry, $"stage{stage}-epoch{epoch:D3}.parquet")

    let channels (folder: RunFolder) (stage: int) (epoch: int) =
        Path.Combine(folder.Telemetry, $"stage{stage}-epoch{epoch:D3}-channels.parquet")

    let transition (folder: RunFolder) (stage: int) = Path.Combine(folder.Telemetry, $"stage{stage}-transition.parquet")

    /// The existing files in the order of their epochs: stage, epoch, whether it is for channels, and path.
    let all (folder: RunFolder) =
        let parse (path: string) =
            let found = name.Match(string (Path.GetFileName path))

            if found.Success then
                Some(int found.Groups[1].Value, int found.Groups[2].Value, found.Groups[3].Success, path)
            else
                None

        if Directory.Exists folder.Telemetry then
            Directory.GetFiles folder.Telemetry |> Array.choose parse |> Array.sort |> Array.toList
        else
            []

    /// Creates the folder of the files inside the run folder, which must exist.
    let makeFolder (folder: RunFolder) =
        if not (Directory.Exists folder.Path) then
            raise (
                DirectoryNotFoundException
                    $"{folder.Telemetry} cannot be created: the folder {folder.Path} does not exist."
            )

        Directory.CreateDirectory folder.Telemetry |> ignore

    /// Removes the files of later steps, and returns the rows of the epoch (from 0) that were sampled before this step of it.
    let cut (folder: RunFolder) stage epoch step : LayerSample list =
        let now = epoch + 1

        for number, epoch, ofChannels, path in all folder do
            if number = stage && (epoch > now || epoch = now && (ofChannels || step = 0)) then
                File.Delete path

        let path = layers folder stage now

        if File.Exists path then
            ColumnFile.read<LayerSample> path |> List.filter (fun row -> row.Step < step)
        else
            []
