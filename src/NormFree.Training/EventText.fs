namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs

/// <summary>Formats training events as lines of text.</summary>
[<RequireQualifiedAccess>]
module EventText =

    let private percent (fraction: float) = $"{100.0 * fraction:F1} %%"

    let private clock (time: TimeSpan) =
        if time.TotalHours >= 1.0 then
            $"{int time.TotalHours}:{time.Minutes:D2}:{time.Seconds:D2}"
        else
            $"{time.Minutes}:{time.Seconds:D2}"

    /// <summary>Epoch, images, speed, loss, accuracy and remaining time, in about 65 columns.</summary>
    let measures (s: StepReport) =
        $"{s.Epoch}/{s.Epochs}  {s.Images}/{s.Total}  {s.ImagesPerSecond:F0} images/s  loss {s.Loss:F3}  \
          top-1 {percent s.Top1}  {clock s.Remaining} left"

    /// <summary>The same in about 45 columns, for narrow terminals: epoch, its finished part, loss, accuracy and remaining time.</summary>
    let shortMeasures (s: StepReport) =
        let share = 100.0 * float s.Images / float (max 1 s.Total)

        $"{s.Epoch}/{s.Epochs} {share:F0} %%  loss {s.Loss:F3}  top-1 {percent s.Top1}  {clock s.Remaining} left"

    /// <summary>The same after the stage's name.</summary>
    let step (s: StepReport) = $"{s.Stage} {measures s}"

    let private skippedBatches (r: EpochRecord) =
        match r.Health with
        | Some { Skipped = skipped } when skipped > 0 -> $"  {skipped} batches skipped"
        | _ -> ""

    let private epoch (r: EpochRecord) =
        let heldOut =
            match r.HeldOut with
            | Some held -> $"  held out {percent held.Top1}"
            | None -> ""

        // With fewer than six classes it is always 1.
        let top5 = if r.Test.Top5 < 1.0 then $" top-5 {percent r.Test.Top5}" else ""

        $"{r.Stage} {r.Epoch}/{r.Epochs}  train loss {r.Train.Loss:F3} top-1 {percent r.Train.Top1}  \
          test loss {r.Test.Loss:F3} top-1 {percent r.Test.Top1}{top5}{heldOut}  \
          {clock (TimeSpan.FromSeconds r.Seconds)}{skippedBatches r}"

    /// Further unreadable images are only counted.
    let private maxNamedImages = 20

    let private skipped (image: UnreadableImage) =
        if image.Total <= maxNamedImages then
            Some $"skipped: {image.Name}: {image.Reason}"
        elif image.Total = maxNamedImages + 1 then
            Some "skipped: further images are only counted"
        else
            None

    let private numericalIssue (t: NumericalIssue) =
        let images = t.Batch |> List.truncate 8 |> List.map string |> String.concat ", "
        let more = if t.Batch.Length > 8 then ", …" else ""
        let batch = if t.Batch.IsEmpty then "" else $" (images {images}{more})"
        $"warning: {t.Stage} {t.Epoch}, step {t.Step}, {t.Layer}: {t.What}{batch}"

    let private counted count noun nouns = if count = 1 then $"1 {noun}" else $"{count} {nouns}"

    /// <summary>The line of an event; None for a step.</summary>
    let message event =
        match event with
        | StageStarted(stage, epochs, images) ->
            Some $"""stage {stage}: {counted epochs "epoch" "epochs"} of {images} images"""
        | Resumed(stage, epochs, batches) ->
            let rest = if batches = 0 then "" else $""" and {counted batches "batch" "batches"}"""
            Some $"""stage {stage}: resumes after {counted epochs "epoch" "epochs"}{rest}"""
        | NumericalIssueFound issue -> Some(numericalIssue issue)
        | Warning text -> Some $"warning: {text}"
        | ImageSkipped image -> skipped image
        | EpochDone record -> Some(epoch record)
        | StepDone _ -> None

    /// <summary>An event handler that prints a line per event, but at most one step per interval. For pipes, files and scripts.</summary>
    /// <remarks>Every line starts with <c>prefix</c>, which distinguishes parallel runs.</remarks>
    let lines (prefix: string) (interval: TimeSpan) =
        let mutable next = DateTime.UtcNow + interval
        // Names of images come from files.
        let print (line: string) = Console.WriteLine(Printable.Lines(prefix + line))

        fun event ->
            match event with
            | StepDone report when DateTime.UtcNow >= next ->
                next <- DateTime.UtcNow + interval
                print (step report)
            | StepDone _ -> ()
            | other -> message other |> Option.iter print
