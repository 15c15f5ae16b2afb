namespace NormFree.Reporting

open System
open NormFree.Runs

/// Signs that turn, as charts.
module internal FlipCharts =

    /// Steps of an epoch of that stage: from the batch that the run was asked for, or at least as many as were seen.
    let private steps (inside: Inside) stage =
        let seen =
            inside.Telemetry.Layers
            |> List.filter (fun s -> s.Stage = stage)
            |> List.map (fun s -> s.Step + 1)
            |> List.fold max 1

        let images =
            inside.Log.Epochs
            |> List.tryFind (fun r -> r.Stage = stage)
            |> Option.map (fun r -> r.Train.Images + r.Unreadable)

        let batch =
            inside.Log.Configuration
            |> List.tryFind (fst >> (=) $"{stage}: batch")
            |> Option.bind (fun (_, text) ->
                match Int32.TryParse text with
                | true, n when n > 0 -> Some n
                | _ -> None)

        match images, batch with
        | Some images, Some batch -> max seen ((images + batch - 1) / batch)
        | _ -> seen

    /// Where a moment lies on the axis of epochs.
    let private place (inside: Inside) =
        let before = Map.ofList (RunCharts.starts inside.Log)

        let steps =
            inside.Telemetry.Layers
            |> List.map _.Stage
            |> List.distinct
            |> List.map (fun s -> s, steps inside s)
            |> Map.ofList

        fun (s: LayerSample) ->
            let before = before |> Map.tryFind s.Stage |> Option.defaultValue 0
            float (before + s.Epoch - 1) + float s.Step / float steps[s.Stage]

    /// A curve of more points than this says no more.
    let private pointsAtMost = 300

    /// A stage's moments in order, neighbours together where there are many: where they are, and the values of all layers, sorted.
    let private moments place pick samples =
        let all =
            samples
            |> List.groupBy place
            |> List.map (fun (x: float, samples) -> x, samples |> List.map pick |> List.filter Double.IsFinite)
            |> List.filter (snd >> List.isEmpty >> not)
            |> List.sortBy fst

        all
        |> List.chunkBySize (1 + all.Length / pointsAtMost)
        |> List.map (fun chunk -> chunk |> List.averageBy fst, chunk |> List.collect snd |> List.sort)

    /// The median over layers, with the lowest and the highest layer around it; a gap where a stage ends.
    let private curve (inside: Inside) pick : Curve =
        let place = place inside

        let stages =
            inside.Telemetry.Layers
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

    let private charts (insides: Inside list) pick : Chart list =
        [ for inside in insides ->
              { Title = inside.Label
                XLabel = "epochs done"
                X = Numbers
                YLabel = "share of signs"
                Y = Percent
                Range = None
                Curves = [ curve inside pick ]
                Boundaries =
                  [ for boundary in RunCharts.boundaries [ inside.Log ] -> { boundary with At = boundary.At - 0.5 } ] } ]

    /// Flips of weights and of activations over the training.
    let figures (insides: Inside list) : Figure list =
        [ charts insides _.WeightFlips
          |> SmallMultiples.figure
              "weight-flips"
              "Flips of weights"
              "Signs of filters that one step turned. The line is the median layer; the band reaches from the calmest layer to the liveliest."
          charts insides _.ActivationFlips
          |> SmallMultiples.figure
              "activation-flips"
              "Flips of activations"
              "Signs of activations, on test images that stay the same, that one step turned." ]
        |> List.choose id
