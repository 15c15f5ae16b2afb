namespace NormFree.Experiments

open System
open System.IO
open System.Text
open NormFree.Formats
open NormFree.Networks
open NormFree.Reporting
open NormFree.Runs
open NormFree.Training

/// <summary>The text of an experiment's page, besides its results.</summary>
type ExperimentPage =
    {
        Title: string
        /// The question that the experiment answers, in one sentence.
        Question: string
        /// The command that reproduces the page, without paths of this machine.
        Command: string
        /// Remarks about the settings, one sentence each.
        Notes: string list
        /// Labels of the pairs of variants to compare.
        Comparisons: (string * string) list
        Plot: ExperimentResult list -> Chart
    }

/// <summary>Writes an experiment's results as a page: Markdown and, under the same name, the plot as a PNG.</summary>
[<RequireQualifiedAccess>]
module ExperimentPage =

    let private byVariant (results: ExperimentResult list) = results |> List.groupBy _.Run.Variant.Label

    let private logs (results: ExperimentResult list) = results |> List.choose (_.Log >> Result.toOption)

    /// Mean ± standard deviation of fractions, in percent.
    let private spread fractions =
        match Statistics.sample fractions with
        | { Count = 1; Mean = mean } -> RunTable.percent mean
        | sample -> $"{100.0 * sample.Mean:f2} ± {100.0 * sample.Deviation:f2} %%"

    /// Student's 95 % interval of the mean of fractions, in percent; empty for one value.
    let private interval fractions =
        match fractions with
        | [ _ ] -> ""
        | _ ->
            let interval = Statistics.ofMean fractions
            $"{100.0 * interval.Low:f2} to {100.0 * interval.High:f2} %%"

    let private lastTop1 (epochs: EpochRecord list) = (List.last epochs).Test.Top1

    let private failures label (results: ExperimentResult list) =
        [ for result in results do
              match result.Log with
              | Error reason -> [ label; "failed"; $"seed {result.Run.Seed}: {reason}"; ""; ""; ""; "" ]
              | Ok _ -> () ]

    /// One row per stage of a variant, and one per failed run.
    let private rows (label, results: ExperimentResult list) =
        let stages =
            logs results
            |> List.collect _.Stages
            |> List.groupBy (fun (stage, _, _) -> stage)
            |> List.map (fun (stage, runs) -> stage, runs |> List.map (fun (_, epochs, _) -> epochs))

        [ for stage, runs in stages do
              let time = runs |> List.map (List.sumBy (fun (epoch: EpochRecord) -> epoch.Seconds)) |> List.average

              [ label
                stage
                runs |> List.map lastTop1 |> spread
                runs |> List.map lastTop1 |> interval
                string runs.Length
                string (List.last runs.Head).Epochs
                RunTable.duration time ]
          yield! failures label results ]

    let private table results =
        { Columns =
            [ "variant"
              "stage"
              "test top-1, last epoch"
              "95 % interval"
              "seeds"
              "epochs"
              "training time per run" ]
          Rows = byVariant results |> List.collect rows }

    /// Test top-1 after the last epoch, with its seed.
    let private bySeed (results: ExperimentResult list) =
        [ for result in results do
              match result.Log with
              | Ok log -> result.Run.Seed, lastTop1 log.Epochs
              | Error _ -> () ]

    /// Test top-1 after the last epoch.
    let private final results = bySeed results |> List.map snd

    /// The 95 % interval of the difference decides whether seeds explain it.
    let private overSeeds (a: (int64 * float) list) (b: (int64 * float) list) =
        let values = List.map snd >> Statistics.sample
        let first, second = values a, values b
        let combined = sqrt (first.Deviation * first.Deviation + second.Deviation * second.Deviation)
        let interval, isPaired = Statistics.difference a b

        let name =
            if isPaired then
                "95 % interval of the difference, paired by seed"
            else
                "Welch's 95 % interval of the difference"

        let against = if interval.Low > 0.0 || interval.High < 0.0 then "more than" else "within"

        $"{against} the spread over seeds (combined standard deviation: {100.0 * combined:f2} points; {name}: \
          {100.0 * interval.Low:f2} to {100.0 * interval.High:f2} points)."

    /// <summary>The difference between two variants' means, and whether it is more than the spread over seeds: whether its 95 % interval
    /// excludes 0.</summary>
    let comparison (results: ExperimentResult list) (one: string, other: string) : string =
        let of' label = results |> List.filter (fun result -> result.Run.Variant.Label = label) |> bySeed

        match of' one, of' other with
        | [], _
        | _, [] -> $"{one} and {other} cannot be compared: one of them has no finished run."
        | a, b ->
            let valuesA, valuesB = List.map snd a, List.map snd b
            let points = 100.0 * (List.average valuesA - List.average valuesB)
            let direction = if points < 0.0 then "less" else "more"

            let said =
                $"{one} against {other}: {spread valuesA} against {spread valuesB}, {abs points:f2} points {direction}"

            if a.Length = 1 || b.Length = 1 then
                $"{said}; one seed cannot show whether this is chance."
            else
                $"{said}, {overSeeds a b}"

    /// <summary>Test top-1 by epoch: one curve per variant, the mean over its seeds.</summary>
    let overEpochs (results: ExperimentResult list) : Chart =
        [ for label, results in byVariant results do
              match logs results with
              | [] -> ()
              | runs -> { RunGroup.Label = label; Runs = runs } ]
        |> RunCharts.accuracyChart

    /// <summary>Test top-1 after the last epoch, averaged over the seeds, against a number: one curve per family of variants.</summary>
    /// <remarks><c>place</c> returns a variant's family and number; variants without them are omitted.</remarks>
    let over xLabel (place: Variant -> (string * float) option) (results: ExperimentResult list) : Chart =
        let points =
            [ for _, group in byVariant results do
                  match place group.Head.Run.Variant, final group with
                  | Some(family, x), (_ :: _ as top1) -> family, (x, List.average top1)
                  | _ -> () ]

        { Title = "Test accuracy"
          XLabel = xLabel
          X = Numeric
          YLabel = "top-1, last epoch"
          Y = Percent
          Range = None
          Curves =
            [ for family, points in List.groupBy fst points ->
                  Curve.Line(family, points |> List.map snd |> List.sortBy fst) ]
          Boundaries = []
          Levels = [] }

    /// A setting of the runs: all its values if the runs differ.
    let private setting key (runs: RunLog list) =
        let values =
            runs
            |> List.choose (fun run -> run.Configuration |> List.tryFind (fst >> (=) key) |> Option.map snd)
            |> List.distinct

        if values.IsEmpty then None else Some(String.concat " and " values)

    let private environmentOf runs key = setting ("environment." + key) runs

    /// The processors that computed the runs.
    let private computer runs =
        let value key = environmentOf runs key |> Option.defaultValue "unknown"
        let count = value "processors"
        let noun = if count = "1" then "processor" else "processors"
        let processor = $"""{value "processor"}, {count} {noun}"""

        match environmentOf runs "device", environmentOf runs "gpu" with
        | (None | Some "cpu"), _ -> $"{processor}, one thread per run"
        | Some device, gpu -> $"""{device} ({Option.defaultValue "a GPU of unknown name" gpu}), {processor}"""

    let private budget results =
        let runs = logs results
        let images key = setting key runs |> Option.defaultValue "no"
        let train, test, size = images "training images", images "test images", images "image size"
        let seconds = runs |> List.collect _.Epochs |> List.sumBy _.Seconds

        $"{runs.Length} runs with {train} training and {test} test images of {size} pixels. Total training time: {RunTable.duration seconds}."

    let private environment results =
        let runs = logs results
        let value key = environmentOf runs key |> Option.defaultValue "unknown"

        let engine, precision, dotnet, version =
            value "engine", value "precision", value ".NET", value "NormFree"

        $"{computer runs}; engine {engine}, {precision}; .NET {dotnet}; NormFree {version}."

    /// <summary>The page; <c>image</c> is the path of its plot, relative to the page.</summary>
    let markdown (image: string) (page: ExperimentPage) (results: ExperimentResult list) : string =
        [ yield $"# {page.Title}"
          yield page.Question
          yield! page.Comparisons |> List.map (comparison results)
          yield Report.markdownTable (table results)
          yield "Mean ± standard deviation over seeds, and Student's 95 % interval of the mean."
          yield $"![{page.Title}](<{Uri.EscapeDataString image}>)"
          yield! page.Notes
          yield budget results
          yield environment results
          yield $"```sh\n{page.Command}\n```" ]
        |> String.concat "\n\n"
        |> fun text -> text + "\n"

    /// <summary>Writes the page atomically; creates its folder.</summary>
    let write (path: string) (page: ExperimentPage) (results: ExperimentResult list) =
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName(Path.GetFullPath path))) |> ignore
        let image = string (Path.ChangeExtension(path, ".png"))
        Chart.writePng image { page.Plot results with Title = page.Title }
        let bytes = UTF8Encoding(false).GetBytes(markdown (string (Path.GetFileName image)) page results)
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))
