/// Options of the run folder.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Run

open NormFree.Cli
open System
open System.Text.RegularExpressions
open NormFree.Runs
open NormFree.Networks

let private run option = Opt.group "Run" option

let config = Opt.path "--config" "FILE" "Start from this configuration; options override it." |> run
let printConfig = Opt.flag "--print-config" "Print the resolved configuration and exit." |> run

let init =
    Opt.path "--init" "FILE" "Start from this file, zoo:NAME or none (default: only stage 2)." |> run

let freeze =
    Opt.whole
        "--freeze"
        "EPOCHS"
        (0, snd Limits.epochs)
        "First epochs in which only the classifier is trained (needs --init)."
    |> Opt.defaultsTo "0"
    |> run

let out = Opt.path "--out" "FOLDER" "Run folder (default: runs/ARCH-NORM)." |> run
let resume = Opt.flag "--resume" "Resume the run in --out with its settings." |> run

/// The text of a time as `--time-limit` takes it.
let timeText (time: TimeSpan) = $"{int time.TotalHours:D2}:{time.Minutes:D2}:{time.Seconds:D2}"

let private tryTime (text: string) =
    let found = Regex.Match(text, @"^(\d{1,5}):([0-5]\d)(?::([0-5]\d))?$")
    let part (number: int) = if found.Groups[number].Success then int found.Groups[number].Value else 0

    if found.Success then
        Some(TimeSpan(part 1, part 2, part 3)) |> Option.filter (fun time -> time > TimeSpan.Zero)
    else
        None

let timeLimit =
    Opt.custom
        "--time-limit"
        "HH:MM"
        ValueKind.Text
        "hours and minutes, as 11:50, or with seconds, as 11:50:00"
        "Stop with a checkpoint and exit code 75 after this time."
        tryTime
    |> run

let keep =
    Opt.whole "--keep" "N" Limits.keep "Last checkpoints kept of each stage."
    |> Opt.defaultsTo (string CheckpointPolicy.Default.Checkpoints)
    |> run

let checkpointEvery =
    let least, most = Limits.minutes

    Opt.real
        "--checkpoint-every"
        "MINUTES"
        $"minutes from {least} to {most:F0}"
        (Opt.between least most)
        "Longest time between two checkpoints."
    |> Opt.defaultsTo (string CheckpointPolicy.Default.Every.TotalMinutes)
    |> run

let onNonFinite =
    Opt.choice
        "--on-nonfinite"
        "RULE"
        [ "stop", Stop; "skip", Skip; "rollback", Rollback ]
        "Response to NaN or infinity."
    |> Opt.defaultsTo "stop"
    |> run

let telemetry =
    Opt.custom
        "--telemetry"
        "N"
        ValueKind.Text
        "a number of steps from 1, or off"
        "Steps between two samples of the layers, or off."
        (fun text ->
            match Opt.tryWhole text with
            | Some every when every >= 1 -> Some(EverySteps every)
            | _ when text = "off" -> Some Never
            | _ -> None)
    |> Opt.defaultsTo "50"
    |> run

let jsonLog = Opt.flag "--json-log" "Print one JSON object per event." |> run
