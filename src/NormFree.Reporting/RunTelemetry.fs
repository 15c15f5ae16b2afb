namespace NormFree.Reporting

open NormFree.Runs

/// A run's telemetry, with its log for the axes of charts.
type internal RunTelemetry = { Label: string; Log: RunLog; Telemetry: Telemetry }

/// Layer names, shortened for an axis.
module internal LayerNames =

    let rec private common (names: string list list) =
        match names with
        | (first :: _ :: _) :: _ when names |> List.forall (fun name -> name.Length > 1 && name.Head = first) ->
            1 + common (names |> List.map List.tail)
        | _ -> 0

    /// Drops the dotted parts that all names start or end with, and `binary_`: `layer1.0.binary_conv` becomes `layer1.0`, and
    /// `feature.3.binary_3x3` becomes `3.3x3`.
    let short (names: string list) =
        let parts = names |> List.map (fun name -> name.Split('.') |> List.ofArray)
        let after = parts |> List.map (List.skip (common parts))
        let suffix = common (after |> List.map List.rev)

        after
        |> List.map (fun parts -> String.concat "." (List.take (parts.Length - suffix) parts))
        |> List.map _.Replace("binary_", "")

/// Small charts with a common vertical axis.
module internal SmallMultiples =

    /// A figure of the charts that have points. None if no chart has any.
    let figure name title caption charts : Figure option =
        match charts |> List.filter (ChartData.heights >> List.isEmpty >> not) with
        | [] -> None
        | charts -> Some { Name = name; Title = title; Caption = caption; Charts = ChartData.sameAxis charts }
