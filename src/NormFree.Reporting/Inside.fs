namespace NormFree.Reporting

open NormFree.Runs


/// What was seen inside a run, with what the charts need of its log.
type internal Inside = { Label: string; Log: RunLog; Telemetry: Telemetry }

/// Layers' names, short enough for an axis.
module internal LayerNames =

    let rec private common (names: string list list) =
        match names with
        | (first :: _ :: _) :: _ when names |> List.forall (fun name -> name.Length > 1 && name.Head = first) ->
            1 + common (names |> List.map List.tail)
        | _ -> 0

    /// Without the parts between dots that all of them begin or end with, and without the word that all binary layers have:
    /// `layer1.0.binary_conv` is `layer1.0`, `feature.3.binary_3x3` is `3.3x3`.
    let short (names: string list) =
        let parts = names |> List.map (fun name -> name.Split('.') |> List.ofArray)
        let after = parts |> List.map (List.skip (common parts))
        let behind = common (after |> List.map List.rev)

        after
        |> List.map (fun parts -> String.concat "." (List.take (parts.Length - behind) parts))
        |> List.map _.Replace("binary_", "")

/// Charts that are to be compared.
module internal SmallMultiples =

    /// A figure of those charts that have something to show; none where none has.
    let figure name title caption charts : Figure option =
        match charts |> List.filter (ChartData.heights >> List.isEmpty >> not) with
        | [] -> None
        | charts -> Some { Name = name; Title = title; Caption = caption; Charts = ChartData.sameAxis charts }
