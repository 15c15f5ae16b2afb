/// Options of measurements.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Measurement

open NormFree.Cli
open NormFree.Runs

let private measurement option = Opt.group "Measurement" option

let image =
    Opt.whole "--image" "N" Limits.imageSide "Image side in pixels."
    |> Opt.defaultsTo "32"
    |> measurement

let warmUpSteps =
    Opt.whole "--warm-up" "N" (0, 1_000_000) "Steps before the measurement."
    |> Opt.defaultsTo "2"
    |> measurement

let steps =
    Opt.whole "--steps" "N" (1, 1_000_000) "Measured steps." |> Opt.defaultsTo "10" |> measurement

let runs =
    Opt.whole "--runs" "N" (1, 1_000_000) "Least number of measured runs."
    |> Opt.defaultsTo "20"
    |> measurement

let seconds =
    Opt.real "--seconds" "X" "seconds from 0 to 86400" (Opt.between 0.0 86400.0) "Least measured time."
    |> Opt.defaultsTo "1"
    |> measurement

let profile = Opt.flag "--profile" "Measure each layer too." |> measurement

let only =
    Opt.text "--only" "WORDS" "Layers whose names contain this, such as '3x3 256->256'." |> measurement

let predictNodes =
    let tryCounts (text: string) =
        let counts =
            [ for word in text.Split ',' -> Opt.tryWhole word |> Option.filter (fun count -> count >= 1) ]

        if List.forall Option.isSome counts then Some(List.choose id counts) else None

    Opt.custom
        "--predict"
        "NODES"
        ValueKind.Text
        "whole numbers from 1, such as 1,8,64"
        "Predict the speed of these numbers of nodes."
        tryCounts
    |> measurement

let bandwidth =
    Opt.real
        "--bandwidth"
        "GBIT"
        "a positive number"
        Opt.isPositive
        "Bandwidth between nodes in Gbit/s (default: measured, or 10)."
    |> measurement

let latency =
    Opt.real
        "--latency"
        "US"
        "a positive number"
        Opt.isPositive
        "Latency between nodes in µs (default: measured, or 50)."
    |> measurement
