namespace NormFree.Experiments

open System
open System.IO
open System.Text
open NormFree.Formats
open NormFree.Networks
open NormFree.Reporting
open NormFree.Runs
open NormFree.Training

/// <summary>What an experiment's page says besides its results.</summary>
type ExperimentPage =
    {
        Title: string
        /// What the experiment asks, in a sentence.
        Question: string
        /// As anyone would type it: no paths of this machine.
        Command: string
        /// What a reader must know of the settings, a sentence each.
        Notes: string list
        /// Labels of variants to hold against each other.
        Compared: (string * string) list
        Plot: ExperimentResult list -> Chart
    }

/// <summary>Results of an experiment as a page: Markdown and, under the same name, the plot as a PNG.</summary>
[<RequireQualifiedAccess>]
module ExperimentPage =

    /// The results of each variant, in the order of the experiment.
    let private byVariant (results: ExperimentResult list) = results |> List.groupBy _.Run.Variant.Label

    let private logs (results: ExperimentResult list) = results |> List.choose (_.Log >> Result.toOption)

    let private mean values = List.average values

    /// Mean ± standard deviation of shares, in per cent.
    let private spread shares =
        match Statistics.sample shares with
        | { Count = 1; Mean = mean } -> RunTable.percent mean
        | sample -> $"{100.0 * sample.Mean:f2} ± {100.0 * sample.Deviation:f2} %%"

    let private lastTop1 (epochs: EpochRecord list) = (List.last epochs).Test.Top1

    let private failures label (results: ExperimentResult list) =
        [ for result in results do
              match result.Log with
              | Error reason -> [ label; "failed"; $"seed {result.Run.Seed}: {reason}"; ""; ""; "" ]
              | Ok _ -> () ]

    /// A row for each stage of a variant, and one for each run of it that failed.
    let private rows (label, results: ExperimentResult list) =
        let stages =
            logs results
            |> List.collect _.Stages
            |> List.groupBy (fun (stage, _, _) -> stage)
            |> List.map (fun (stage, runs) -> stage, runs |> List.map (fun (_, epochs, _) -> epochs))

        [ for stage, runs in stages do
              let time = runs |> List.map (List.sumBy (fun (epoch: EpochRecord) -> epoch.Seconds)) |> mean

              [ label
                stage
                runs |> List.map lastTop1 |> spread
                string runs.Length
                string (List.last runs.Head).Epochs
                RunTable.duration time ]
          yield! failures label results ]

    let private table results =
        { Columns = [ "variant"; "stage"; "test top-1 of the last epoch"; "seeds"; "epochs"; "training time of a run" ]
          Rows = byVariant results |> List.collect rows }

    /// Test top-1 after the last epoch of all, seed by seed.
    let private final (results: ExperimentResult list) = logs results |> List.map (fun log -> lastTop1 log.Epochs)

    /// <summary>Two variants held against each other: the difference of their means, and whether it is more than the spread over seeds.</summary>
    let comparison (results: ExperimentResult list) (one: string, other: string) : string =
        let of' label = results |> List.filter (fun result -> result.Run.Variant.Label = label) |> final

        match of' one, of' other with
        | [], _
        | _, [] -> $"{one} and {other} cannot be compared: one of them has no finished run."
        | a, b ->
            let points = 100.0 * (mean a - mean b)
            let direction = if points < 0.0 then "less" else "more"
            let said = $"{one} against {other}: {spread a} against {spread b}, {abs points:f2} points {direction}"

            if a.Length = 1 || b.Length = 1 then
                $"{said}; one seed tells no spread."
            else
                let first, second = Statistics.sample a, Statistics.sample b
                let over = 100.0 * sqrt (first.Deviation * first.Deviation + second.Deviation * second.Deviation)
                let against = if abs points > over then "more than" else "within"
                let interval = Statistics.welch first second

                $"{said}, {against} the spread over seeds (standard deviations together: {over:f2} points; Welch's interval of 95 %% for the \
                  difference: {100.0 * interval.Low:f2} to {100.0 * interval.High:f2} points)."

    /// <summary>Test top-1 epoch by epoch: a curve a variant, which is the mean over its seeds.</summary>
    let overEpochs (results: ExperimentResult list) : Chart =
        [ for label, results in byVariant results do
              match logs results with
              | [] -> ()
              | runs -> { RunGroup.Label = label; Runs = runs } ]
        |> RunCharts.accuracyChart

    /// <summary>Test top-1 of the last epoch against a number, means over the seeds: a curve a family of variants.</summary>
    /// <remarks><c>place</c> gives a variant's family and number; variants without are left out.</remarks>
    let over xLabel (place: Variant -> (string * float) option) (results: ExperimentResult list) : Chart =
        let points =
            [ for _, group in byVariant results do
                  match place group.Head.Run.Variant, final group with
                  | Some(family, x), (_ :: _ as shares) -> family, (x, mean shares)
                  | _ -> () ]

        { Title = "Test accuracy"
          XLabel = xLabel
          X = Numbers
          YLabel = "top-1 of the last epoch"
          Y = Percent
          Range = None
          Curves =
            [ for family, points in List.groupBy fst points ->
                  Curve.Line(family, points |> List.map snd |> List.sortBy fst) ]
          Boundaries = [] }

    /// A setting of the runs; where they do not have the same, all that they have.
    let private setting key (runs: RunLog list) =
        let values =
            runs
            |> List.choose (fun run -> run.Configuration |> List.tryFind (fst >> (=) key) |> Option.map snd)
            |> List.distinct

        if values.IsEmpty then None else Some(String.concat " and " values)

    let private environmentOf runs key = setting ("environment." + key) runs

    /// What computed the runs, and how many at once.
    let private computer runs =
        let value key = environmentOf runs key |> Option.defaultValue "unknown"
        let processor = $"""{value "processor"}, {value "processors"} processors"""

        match environmentOf runs "device", environmentOf runs "gpu" with
        | (None | Some "cpu"), _ -> $"{processor}, one for each run"
        | Some device, gpu -> $"""{device} ({Option.defaultValue "a GPU of unknown name" gpu}), {processor}"""

    /// Images, epochs and time.
    let private budget results =
        let runs = logs results
        let images key = setting key runs |> Option.defaultValue "no"
        let train, test, size = images "training images", images "test images", images "image size"
        let seconds = runs |> List.collect _.Epochs |> List.sumBy _.Seconds

        $"{runs.Length} runs on {train} training and {test} test images of {size} pixels; their training times add up to {RunTable.duration seconds}."

    let private environment results =
        let runs = logs results
        let value key = environmentOf runs key |> Option.defaultValue "unknown"

        let engine, precision, dotnet, version =
            value "engine", value "precision", value ".NET", value "NormFree"

        $"{computer runs}; engine {engine}, {precision}; .NET {dotnet}; NormFree {version}."

    /// <summary>The page; <c>image</c> is where its plot lies, relative to it.</summary>
    let markdown (image: string) (page: ExperimentPage) (results: ExperimentResult list) : string =
        [ yield $"# {page.Title}"
          yield page.Question
          yield! page.Compared |> List.map (comparison results)
          yield Report.markdownTable (table results)
          yield "Mean ± standard deviation over the seeds."
          yield $"![{page.Title}](<{Uri.EscapeDataString image}>)"
          yield! page.Notes
          yield budget results
          yield environment results
          yield $"```sh\n{page.Command}\n```" ]
        |> String.concat "\n\n"
        |> fun text -> text + "\n"

    /// <summary>Writes the page, whole or not at all, into a folder that is made if it is not there.</summary>
    let write (path: string) (page: ExperimentPage) (results: ExperimentResult list) =
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName(Path.GetFullPath path))) |> ignore
        let image = string (Path.ChangeExtension(path, ".png"))
        Chart.writePng image { page.Plot results with Title = page.Title }
        let bytes = UTF8Encoding(false).GetBytes(markdown (string (Path.GetFileName image)) page results)
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))
