namespace NormFree.Cli

open System
open NormFree.Data
open NormFree.Training
open Spectre.Console

/// <summary>What people see: tables, and the progress of long work.</summary>
[<RequireQualifiedAccess>]
module Show =

    /// Lines of a file or pipe are not wrapped.
    let private prepare () =
        if Console.IsOutputRedirected then
            AnsiConsole.Profile.Width <- 400

    /// <summary>A table: names of columns, numbers to the right, and rows.</summary>
    let table (columns: string list) (rows: string list list) =
        prepare ()
        let table = Table(Border = (if Console.IsOutputRedirected then TableBorder.Ascii2 else TableBorder.Rounded))

        for i, name in List.indexed columns do
            let column = TableColumn(Markup.Escape name)
            table.AddColumn(if i = 0 then column.LeftAligned() else column.RightAligned()) |> ignore

        for row in rows do
            table.AddRow(row |> List.map Markup.Escape |> List.toArray) |> ignore

        AnsiConsole.Write table

    let percent (share: float) = $"{100.0 * share:F1} %%"

    /// A number with 3 significant digits and a unit's letter.
    let short (value: float) =
        [ 1e9, " G"; 1e6, " M"; 1e3, " k" ]
        |> List.tryFind (fun (unit, _) -> abs value >= unit)
        |> function
            | Some(unit, letter) -> (value / unit).ToString("G3") + letter
            | None -> value.ToString "G3"

    let private clock (time: TimeSpan) =
        if time.TotalHours >= 1.0 then $"{int time.TotalHours}:{time.Minutes:D2}:{time.Seconds:D2}" else $"{time.Minutes}:{time.Seconds:D2}"

    let private step (s: StepReport) =
        $"{s.Stage} {s.Epoch}/{s.Epochs}  {s.Images}/{s.Total}  {s.ImagesPerSecond:F0} images/s  loss {s.Loss:F3}  top-1 {percent s.Top1}  \
          {clock s.Remaining} left"

    let private epoch (r: EpochRecord) =
        let heldOut =
            match r.HeldOut with
            | Some held -> $"  held out {percent held.Top1}"
            | None -> ""

        $"{r.Stage} {r.Epoch}/{r.Epochs}  train loss {r.Train.Loss:F3} top-1 {percent r.Train.Top1}  test loss {r.Test.Loss:F3} \
          top-1 {percent r.Test.Top1} top-5 {percent r.Test.Top5}{heldOut}  {clock (TimeSpan.FromSeconds r.Seconds)}"

    /// Unreadable images are named one by one up to here, then only counted.
    let private namedAtMost = 20

    let private skipped (image: Unreadable) =
        if image.Total <= namedAtMost then
            Some $"left out: {image.Name}: {image.Reason}"
        elif image.Total = namedAtMost + 1 then
            Some "left out: further images are only counted"
        else
            None

    let private message event =
        match event with
        | StageBegins(stage, epochs, images) -> Some $"stage {stage}: {epochs} epochs of {images} images"
        | Resumed(stage, done') -> Some $"stage {stage}: {done'} epochs were done already"
        | Warning text -> Some $"warning: {text}"
        | ImageSkipped image -> skipped image
        | EpochDone record -> Some(epoch record)
        | StepDone _ -> None

    /// A line every so often, and one for every other event.
    let private lines (interval: TimeSpan) =
        let mutable next = DateTime.UtcNow + interval

        fun event ->
            match event with
            | StepDone report when DateTime.UtcNow >= next ->
                next <- DateTime.UtcNow + interval
                Console.WriteLine(step report)
            | StepDone _ -> ()
            | other -> message other |> Option.iter Console.WriteLine

    /// One JSON object an event.
    let private jsonLines event = Console.WriteLine(Json.write event)

    let private bar (console: ProgressTask) event =
        match event with
        | StageBegins(_, _, images) ->
            console.MaxValue <- float images
            console.Value <- 0.0
        | StepDone report ->
            console.Value <- float report.Images
            console.Description <- Markup.Escape(step report)
        | _ -> ()

        message event |> Option.iter (fun text -> AnsiConsole.MarkupLine(Markup.Escape text))

    let private withBar (work: (TrainingEvent -> unit) -> unit) =
        AnsiConsole
            .Progress()
            .AutoClear(true)
            .Columns(ProgressBarColumn(Width = Nullable 24), TaskDescriptionColumn(Alignment = Justify.Left))
            .Start(fun context -> work (bar (context.AddTask "reading the first images")))

    /// <summary>Runs a training, showing its progress: a bar on a terminal, a line every 10 seconds in a pipe or file.</summary>
    let progress (asJson: bool) (work: (TrainingEvent -> unit) -> unit) =
        if asJson then work jsonLines
        elif Console.IsOutputRedirected then work (lines (TimeSpan.FromSeconds 10.0))
        else withBar work
