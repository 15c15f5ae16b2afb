namespace NormFree.Reporting

open System
open NormFree.Runs

/// Charts of sign flips.
module internal FlipCharts =

    /// Steps per epoch of a stage: computed from the configured batch, and at least the number in the telemetry.
    let private steps (run: RunTelemetry) stage =
        let seen =
            run.Telemetry.Layers
            |> List.filter (fun s -> s.Stage = stage)
            |> List.map (fun s -> s.Step + 1)
            |> List.fold max 1

        let images =
            run.Log.Epochs
            |> List.tryFind (fun r -> r.Stage = stage)
            |> Option.map (fun r -> r.Train.Images + r.Unreadable)

        let batch =
            run.Log.Configuration
            |> List.tryFind (fst >> (=) $"{stage}: batch")
            |> Option.bind (fun (_, text) ->
                match Int32.TryParse text with
                | true, n when n > 0 -> Some n
                | _ -> None)

        match images, batch with
        | Some images, Some batch -> max seen ((images + batch - 1) / batch)
        | _ -> seen

    /// The position of a sample on the axis of epochs.
    let private place (run: RunTelemetry) =
        let before = Map.ofList (RunCharts.starts run.Log)

        let steps =
            run.Telemetry.Layers
            |> List.map _.Stage
            |> List.distinct
            |> List.map (fun s -> s, steps run s)
            |> Map.ofList

        fun (s: LayerSample) ->
            let before = before |> Map.tryFind s.Stage |> Option.defaultValue 0
            float (before + s.Epoch - 1) + float s.Step / float steps[s.Stage]

    let private maxPoints = 300

    /// A stage's samples in order, merged with their neighbours if there are too many: position, and the sorted values of all layers.
    let private moments place pick samples =
        let all =
            samples
            |> List.groupBy place
            |> List.map (fun (x: float, samples) -> x, samples |> List.map pick |> List.filter Double.IsFinite)
            |> List.filter (snd >> List.isEmpty >> not)
            |> List.sortBy fst

        all
        |> List.chunkBySize (1 + all.Length / maxPoints)
        |> List.map (fun chunk -> chunk |> List.averageBy fst, chunk |> List.collect snd |> List.sort)

    /// The median over layers, with the range of all layers as its band. The curve has a gap between stages.
    let private curve (run: RunTelemetry) pick : Curve =
        let place = place run

        let stages =
            run.Telemetry.Layers
            |> List.groupBy _.Stage
            |> List.map (snd >> moments place pick)
            |> List.filter (List.isEmpty >> not)

        let withGap value gap =
            [ for moments in stages do
                  yield! moments |> List.map value
                  yield gap (fst (List.last moments)) ]

        { Name = "median layer"
          Points = withGap (fun (x, values) -> x, values[(values.Length - 1) / 2]) (fun x -> x, nan)
          Band = withGap (fun (x, values) -> x, List.head values, List.last values) (fun x -> x, nan, nan) }

    let private charts (runs: RunTelemetry list) pick : Chart list =
        [ for run in runs ->
              { Title = run.Label
                XLabel = "completed epochs"
                X = Numeric
                YLabel = "share of signs"
                Y = Percent
                Range = None
                Curves = [ curve run pick ]
                Boundaries =
                  [ for boundary in RunCharts.boundaries [ { Label = run.Label; Runs = [ run.Log ] } ] ->
                        { boundary with At = boundary.At - 0.5 } ]
                Levels = [] } ]

    /// Weight and activation flips over the training.
    let figures (runs: RunTelemetry list) : Figure list =
        [ charts runs _.WeightFlips
          |> SmallMultiples.figure
              "weight-flips"
              "Weight flips"
              "Share of filter signs that one step flipped. The line is the median layer; the band spans all layers."
          charts runs _.ActivationFlips
          |> SmallMultiples.figure
              "activation-flips"
              "Activation flips"
              "Share of activation signs on a fixed set of test images that one step flipped." ]
        |> List.choose id
