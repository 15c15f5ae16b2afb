namespace NormFree.Reporting

open System
open NormFree.Training

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
        let steps = inside.Telemetry.Layers |> List.map _.Stage |> List.distinct |> List.map (fun s -> s, steps inside s) |> Map.ofList

        fun (s: LayerSample) ->
            let before = before |> Map.tryFind s.Stage |> Option.defaultValue 0
            float (before + s.Epoch - 1) + float s.Step / float steps[s.Stage]

    /// The median over layers at each moment, with the lowest and the highest layer around it; a gap where a stage begins.
    let private curve (inside: Inside) pick : Curve =
        let place = place inside

        let moments =
            inside.Telemetry.Layers
            |> List.groupBy place
            |> List.map (fun (x, samples) -> x, samples |> List.map pick |> List.filter Double.IsFinite |> List.sort)
            |> List.filter (snd >> List.isEmpty >> not)
            |> List.sortBy fst

        let gaps = RunCharts.boundaries [ inside.Log ] |> List.map (fun boundary -> boundary.At - 0.5 - 1e-9)

        { Name = "median layer"
          Points =
            List.sortBy
                fst
                [ for x, values in moments do
                      x, values[(values.Length - 1) / 2]
                  for gap in gaps do
                      gap, nan ]
          Band =
            List.sortBy
                (fun (x, _, _) -> x)
                [ for x, values in moments do
                      x, List.head values, List.last values
                  for gap in gaps do
                      gap, nan, nan ] }

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
              "Signs of activations, on images that stay the same, that are not what they were at the sample before." ]
        |> List.choose id
