namespace NormFree.Cli

open System
open NormFree.Distributed
open NormFree.Formats
open NormFree.Reporting
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open Spectre.Console

/// <summary>Tables, and the progress of long work.</summary>
[<RequireQualifiedAccess>]
module Show =

    /// Whether the output is a file or pipe. mpirun gives ranks terminals but passes their output on as lines.
    let private isRedirected = lazy (Console.IsOutputRedirected || Launcher.Processes > 1)

    /// Lines in files and pipes are not wrapped.
    let private prepare () =
        if isRedirected.Value then
            AnsiConsole.Profile.Width <- 400

    let private bordered (columns: string list) (rows: string list list) =
        let table = Table(Border = (if isRedirected.Value then TableBorder.Ascii2 else TableBorder.Rounded))

        for i, name in List.indexed columns do
            let column = TableColumn(Markup.Escape name)
            table.AddColumn(if i = 0 then column.LeftAligned().NoWrap() else column.RightAligned()) |> ignore

        for row in rows do
            table.AddRow(row |> List.map Markup.Escape |> List.toArray) |> ignore

        AnsiConsole.Write table

    /// <summary>Prints a table. The first column is aligned to the left, all others to the right. On a terminal that is too narrow, each row becomes
    /// a few lines.</summary>
    let table (columns: string list) (rows: string list list) =
        prepare ()
        let rows = rows |> List.map (List.map Printable.Text)
        let room = AnsiConsole.Profile.Width

        match TextTable.headings room columns rows with
        | Some columns -> bordered columns rows
        | None -> TextTable.blocks room columns rows |> List.iter Output.line

    let percent (share: float) = $"{100.0 * share:F1} %%"

    /// A number with 3 significant digits and the prefix of its unit.
    let short (value: float) =
        [ 1e9, " G"; 1e6, " M"; 1e3, " k" ]
        |> List.tryFind (fun (unit, _) -> abs value >= unit)
        |> function
            | Some(unit, letter) ->
                (value / unit)
                    .ToString(
                        if value < 10.0 * unit then "F2"
                        elif value < 100.0 * unit then "F1"
                        else "F0"
                    )
                + letter
            | None -> value.ToString "G3"

    /// <summary>Prints the machine of a measurement on one line.</summary>
    let machine (machine: BenchEnvironment) =
        let load =
            machine.LoadAverage |> Option.map (fun load -> $", load {load} before") |> Option.defaultValue ""

        Output.line
            $"{machine.Processor}, {machine.Instructions}, {machine.Processors} processors{load}, .NET {machine.Dotnet}"

    /// <summary>Counts steps on the error stream if that is a terminal. The count is erased at the end.</summary>
    /// <remarks>It is written between the steps only: a bar that draws itself would disturb the measurement.</remarks>
    let counting (what: string) (total: int) (work: (int -> unit) -> 'a) : 'a =
        if Console.IsErrorRedirected || isRedirected.Value then
            work ignore
        else
            let write (text: string) = Console.Error.Write("\r" + text + "\027[K")

            try
                work (fun number -> write $"{what} {number} of {total}")
            finally
                write ""

    let private jsonLines event = Output.json (Json.write event)

    /// Prints a line above the bar. Blanks to the end of the line erase the bar's old text.
    let private above (text: string) =
        AnsiConsole.Write(Padder(Text(Printable.Lines text), Padding(0, 0), Expand = true))

    let private widestBar = 24

    /// The room for a bar beside the measures of a step; none on a narrow terminal.
    let internal barWidth (room: int) = min widestBar (room - 70)

    let private describe room (report: StepReport) =
        if barWidth room > 0 then
            EventText.measures report
        else
            EventText.shortMeasures report

    let private bar (console: ProgressTask) event =
        match event with
        | StageStarted(_, _, images) ->
            console.MaxValue <- float images
            console.Value <- 0.0
        | StepDone report ->
            console.Value <- float report.Images
            // The stage is in a line above: a bar that wraps would flicker.
            console.Description <- Markup.Escape(describe AnsiConsole.Profile.Width report)
        | _ -> ()

        EventText.message event |> Option.iter above

    let private withBar (work: (TrainingEvent -> unit) -> 'a) : 'a =
        let measures = TaskDescriptionColumn(Alignment = Justify.Left)

        let columns: ProgressColumn array =
            match barWidth AnsiConsole.Profile.Width with
            | width when width > 0 -> [| ProgressBarColumn(Width = Nullable width); measures |]
            | _ -> [| measures |]

        AnsiConsole
            .Progress()
            .AutoClear(true)
            .Columns(columns)
            .Start(fun context -> work (bar (context.AddTask "reading the first images")))

    /// <summary>Runs a training and shows its progress: a bar on a terminal, a line every 10 seconds in a pipe or file. Of several ranks only the
    /// first shows it.</summary>
    let progress (ranks: IRanks) (asJson: bool) (work: (TrainingEvent -> unit) -> 'a) : 'a =
        if ranks.Rank > 0 then
            work ignore
        elif asJson then
            work jsonLines
        elif isRedirected.Value then
            work (EventText.lines "" (TimeSpan.FromSeconds 10.0))
        else
            withBar work
