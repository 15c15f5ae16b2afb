namespace NormFree.Reporting

open System
open System.IO
open System.Runtime.InteropServices
open System.Text
open NormFree.Formats
open NormFree.Runs

/// <summary>Writes reports of runs as HTML, Markdown or text.</summary>
/// <example><code>
/// let runs = ReportedRun.ofFolders (RunDeployment.measuring MeasureSpeed) [ { Path = "runs/bn-free" }; { Path = "runs/batch-norm" } ]
/// runs |> Report.write "report.html" "ReActNet-18 on CIFAR-10"
/// runs |> Report.writeMarkdown "results/cifar10.md" "ReActNet-18 on CIFAR-10"
/// </code></example>
module Report =
    /// <summary>Compares bn-free with its batch-norm and no-norm twins, if the runs include them.</summary>
    let verdicts (runs: RunLog list) = Verdict.ofRuns runs

    let private conclusions runs = verdicts runs |> List.map Verdict.sentence

    /// The largest numbers of groups with telemetry charts and with headline numbers.
    let private maxTelemetry, private maxFacts = 6, 12

    /// The headline number of a group: its top-1 so far.
    let private fact (group: RunGroup) : Fact =
        match RunGroup.final group, List.tryLast group.Runs.Head.Epochs with
        | Ok epochs, _ when epochs.Length > 1 ->
            let sample = Statistics.sample (epochs |> List.map _.Test.Top1)

            { Label = group.Label
              Value = RunTable.percent sample.Mean
              Note =
                $"top-1 after the last epoch, mean of {sample.Count} seeds; standard deviation {100.0 * sample.Deviation:f2} points" }
        | Ok [ epoch ], _ ->
            { Label = group.Label
              Value = RunTable.percent epoch.Test.Top1
              Note = $"top-1 after the last epoch, {epoch.Stage}, {epoch.Test.Images} test images" }
        | _, Some epoch ->
            let run, state =
                match group.Runs with
                | [ _ ] -> "", "not finished"
                | runs -> $" of {runs.Head.Name}", $"not all {runs.Length} seeds are finished"

            { Label = group.Label
              Value = RunTable.percent epoch.Test.Top1
              Note = $"top-1 so far{run}: epoch {epoch.Epoch} of {epoch.Epochs}, {epoch.Stage}; {state}" }
        | _, None -> { Label = group.Label; Value = RunTable.missing; Note = "no epoch yet" }

    let private tables layouts =
        [ for layout, table: Table in layouts do
              if not table.Rows.IsEmpty then
                  Tabular(layout, table) ]

    let private results (runs: RunLog list) (groups: RunGroup list) =
        [ yield! conclusions runs |> List.map Conclusion
          yield! Cautions.ofGroups groups |> List.map Caution
          Facts(groups |> List.truncate maxFacts |> List.map fact)
          Plotted(RunCharts.accuracy groups)
          yield! tables [ NumbersAfter 2, RunTable.seeds groups; NumbersAfter 2, RunTable.headline runs ]
          SideBySide(RunCharts.training groups) ]

    /// The blocks of several runs are folded, with the first one open.
    let private perRun heading (runs: (string * Block list) list) =
        match runs with
        | [ _, blocks ] -> blocks
        | runs ->
            [ for i, (label, blocks) in List.indexed runs do
                  Folded((if i = 0 then Open else Closed), heading label, blocks) ]

    let private missing what (reasons: (string * string) list) =
        [ for reason, labels in reasons |> List.groupBy snd do
              let labels = labels |> List.map fst |> String.concat ", "
              Text $"No {what} for {labels}: {reason}." ]

    let private split (pick: ReportedRun -> Result<'a, string>) (labelled: (string * ReportedRun) list) =
        labelled
        |> List.choose (fun (label, run) -> pick run |> Result.toOption |> Option.map (fun value -> label, value)),
        labelled
        |> List.choose (fun (label, run) ->
            match pick run with
            | Error reason -> Some(label, reason)
            | Ok _ -> None)

    /// The first run that has the picked part represents its group: seeds hardly change charts by layer, and do not change costs.
    let private ofGroups (pick: ReportedRun -> Result<'a, string>) (grouped: (string * ReportedRun list) list) =
        [ for label, runs in grouped ->
              label, runs |> List.tryFind (pick >> Result.isOk) |> Option.defaultValue runs.Head ]

    let private telemetry (grouped: (string * ReportedRun list) list) =
        let chosen = ofGroups _.Telemetry grouped
        let _, unavailable = split _.Telemetry chosen

        let all: RunTelemetry list =
            [ for label, run in chosen do
                  match run.Telemetry with
                  | Ok telemetry -> { Label = label; Log = run.Log; Telemetry = telemetry }
                  | Error _ -> () ]

        let shown = List.truncate maxTelemetry all
        let available = grouped |> List.collect snd |> List.filter _.Telemetry.IsOk

        let single, several =
            LayerCharts.figures shown @ FlipCharts.figures shown
            |> List.partition (fun f -> f.Charts.Length = 1)

        [ if not shown.IsEmpty && shown.Length < available.Length then
              Text $"One run per configuration, and at most {maxTelemetry} configurations."
          yield! several |> List.map Plotted
          if not single.IsEmpty then
              SideBySide single
          yield! missing "telemetry" unavailable ]

    let private confusions labelled =
        let found, unavailable = split _.Confusion labelled

        let blocks =
            found
            |> List.mapi (fun i (label, confusion) -> label, ConfusionView.blocks $"mistakes-{i + 1}" confusion)

        perRun id blocks @ missing "confusion matrix" unavailable

    let private deployment (grouped: (string * ReportedRun list) list) =
        let found, unavailable = ofGroups _.Deployment grouped |> split _.Deployment

        [ match found with
          | [] -> ()
          | (label, first) :: others ->
              if others.IsEmpty then
                  Facts(DeploymentView.facts first)

              Tabular(NumbersAfter 2, DeploymentView.table found)

              match found |> List.tryPick (fun (_, d) -> d.Speed) with
              | Some speed -> Text(DeploymentView.measurement speed)
              | None -> Text "The latency was not measured."

              Folded(Closed, $"Layers of {label}", [ Tabular(NumbersAfter 3, DeploymentView.layers first) ])
          yield! missing "deployment cost" unavailable ]

    let private epochs (labelled: (string * ReportedRun) list) =
        perRun
            id
            [ for label, { Log = run } in labelled do
                  label,
                  [ if not run.Arguments.IsEmpty then
                        Command("train" :: run.Arguments)
                    Text $"{run.Epochs.Length} epochs in the folder {run.Name}."
                    yield! tables [ NumbersAfter 1, RunTable.epochs run ] ] ]

    let private environment (runs: RunLog list) =
        let common, differing = RunTable.configuration RunGroup.isEnvironment runs

        let own =
            [ [ "report"; $"NormFree {BuildVersion.normFree}, {RuntimeInformation.FrameworkDescription}" ]
              [ "report machine"
                $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}" ] ]

        tables [ KeysAndValues, { common with Rows = common.Rows @ own }; KeysAndValues, differing ]

    let private document title (runs: ReportedRun list) : Document =
        let logs = runs |> List.map _.Log
        let groups, grouped = RunGroup.ofRuns logs, RunGroup.by (fun (run: ReportedRun) -> run.Log) runs
        let labelled = List.zip (RunTable.labels logs) runs
        let common, differing = RunTable.configuration (RunGroup.isEnvironment >> not) logs

        let sections =
            if runs.IsEmpty then
                [ "results", "Results", [ Text "There are no runs." ] ]
            else
                [ "results", "Results", results logs groups
                  "differences", "Differences between the runs", tables [ KeysAndValues, differing ]
                  "telemetry", "Layer telemetry", telemetry grouped
                  "confusion", "Confusion matrix", confusions labelled
                  "deployment", "Deployment cost", deployment grouped
                  "epochs", "Epochs", epochs labelled
                  "configuration", "Configuration", tables [ KeysAndValues, common ] ]

        { Title = title
          Sections =
            [ for name, title, blocks in sections @ [ "environment", "Environment", environment logs ] do
                  if not blocks.IsEmpty then
                      { Name = name; Title = title; Blocks = blocks } ] }

    /// <summary>The HTML page: one file without external resources and scripts.</summary>
    let html title (runs: ReportedRun list) = Html.page (document title runs)

    let private save (path: string) (bytes: byte[]) =
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))

    let private saveText path (text: string) = save path (UTF8Encoding(false).GetBytes text)

    /// <summary>Writes the HTML page atomically.</summary>
    let write (path: string) (title: string) (runs: ReportedRun list) = saveText path (html title runs)

    /// <summary>A table as Markdown. Markup in its cells is escaped.</summary>
    let markdownTable (table: Table) = Markdown.table table

    /// <summary>The results table and the verdicts as plain text, for a terminal.</summary>
    let text (runs: RunLog list) =
        let table = RunTable.headline runs
        let rows = table.Columns :: table.Rows
        let widths = List.transpose rows |> List.map (List.map String.length >> List.max)
        let line row = List.map2 (fun (cell: string) width -> cell.PadRight width) row widths |> String.concat "  "
        String.concat "\n" (List.map (line >> _.TrimEnd()) rows @ conclusions runs)

    /// <summary>The Markdown page. <c>stem</c> is its file's name without the extension. The page links to the pictures <c>stem.png</c> (test
    /// accuracy) and <c>stem-name.png</c>.</summary>
    let markdown (stem: string) (title: string) (runs: ReportedRun list) = Markdown.text stem (document title runs)

    /// <summary>Writes the Markdown page and its pictures into one folder, each file atomically.</summary>
    let writeMarkdown (path: string) (title: string) (runs: ReportedRun list) =
        let stem = string (Path.GetFileNameWithoutExtension path)
        let folder = string (Path.GetDirectoryName path)
        let document = document title runs

        for name, make in Markdown.pictures stem document do
            save (Path.Combine(folder, name)) (make ())

        saveText path (Markdown.text stem document)
