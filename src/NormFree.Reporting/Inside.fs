namespace NormFree.Reporting

open NormFree.Training

/// What was seen inside a run, with what the charts need of its log.
type internal Inside = { Label: string; Log: RunLog; Telemetry: Telemetry }

/// Charts that are to be compared.
module internal SmallMultiples =

    /// A figure of those charts that have something to show; none where none has.
    let figure name title caption charts : Figure option =
        match charts |> List.filter (ChartData.heights >> List.isEmpty >> not) with
        | [] -> None
        | charts -> Some { Name = name; Title = title; Caption = caption; Charts = ChartData.sameAxis charts }
