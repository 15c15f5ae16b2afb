namespace NormFree.Reporting

open System
open NormFree.Runs

/// Telemetry by layer as charts.
module internal LayerCharts =

    /// The stages in their order, each with the samples of each moment, in theirs.
    let private stages (inside: Inside) =
        inside.Telemetry.Layers
        |> List.groupBy _.Stage
        |> List.map (fun (stage, samples) ->
            stage, samples |> List.groupBy (fun s -> s.Epoch, s.Step) |> List.sortBy fst |> List.map snd)

    let private layers (inside: Inside) = inside.Telemetry.Layers |> List.map _.Layer |> List.distinct

    let private chart title yLabel scale names curves : Chart =
        { Title = title
          XLabel = "layer"
          X = Names(LayerNames.short names)
          YLabel = yLabel
          Y = scale
          Range = None
          Curves = curves
          Boundaries = [] }

    let private hasNumbers (curve: Curve) = curve.Points |> List.exists (snd >> Double.IsFinite)

    let private place (names: string list) =
        names |> List.indexed |> List.map (fun (i, name) -> name, float i) |> Map.ofList

    let private line name names pick (samples: LayerSample list) =
        let places = place names
        Curve.Line(name, samples |> List.map (fun s -> places[s.Layer], pick s) |> List.sortBy fst)

    /// The first, the middle and the last moment; fewer where there are fewer.
    let private chosen (moments: 'a list) =
        [ "start", 0; "middle", (moments.Length - 1) / 2; "end", moments.Length - 1 ]
        |> List.distinctBy snd
        |> List.map (fun (name, place) -> name, moments[place])

    /// A chart for each stage of each run: start, middle and end, and what was expected.
    let private propagation (insides: Inside list) yLabel pick expected =
        [ for inside in insides do
              let names = layers inside

              for stage, moments in stages inside do
                  [ for name, samples in chosen moments do
                        line name names pick samples
                    match expected with
                    | Some expected -> line "expected" names expected (List.last moments)
                    | None -> () ]
                  |> List.filter hasNumbers
                  |> chart $"{inside.Label}: {stage}" yLabel Logarithmic names ]

    let private median values =
        match List.sort values with
        | [] -> nan
        | sorted -> (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2.0

    /// A curve for each stage: a layer's median over the stage's samples, with the lowest and the highest around it.
    let private overStage names pick (stage, moments: LayerSample list list) : Curve =
        let places = place names

        let byLayer =
            moments
            |> List.concat
            |> List.groupBy _.Layer
            |> List.map (fun (layer, samples) -> places[layer], samples |> List.map pick |> List.filter Double.IsFinite)
            |> List.filter (snd >> List.isEmpty >> not)
            |> List.sortBy fst

        { Name = stage
          Points = byLayer |> List.map (fun (x, values) -> x, median values)
          Band = byLayer |> List.map (fun (x, values) -> x, List.min values, List.max values) }

    let private byStage (insides: Inside list) yLabel scale pick =
        [ for inside in insides do
              let names = layers inside
              stages inside |> List.map (overStage names pick) |> chart inside.Label yLabel scale names ]

    /// The shares of a layer's channels, sorted: half of the channels lie in the band around the median.
    let private channelCurves (names: string list) (shares: (string * float list) list) : Curve list =
        let places = place names
        let quantile part (sorted: float list) = sorted[int (round (part * float (sorted.Length - 1)))]
        let at part = [ for layer, shares in shares -> places[layer], quantile part shares ]

        [ { Name = "median and middle half"
            Points = at 0.5
            Band = List.map2 (fun (x, low) (_, high) -> x, low, high) (at 0.25) (at 0.75) }
          Curve.Line("highest", at 1.0)
          Curve.Line("lowest", at 0.0) ]

    /// A chart for each run: at the end of its last epoch.
    let private channels (insides: Inside list) =
        [ for inside in insides do
              let names = inside.Telemetry.Channels |> List.map _.Layer |> List.distinct

              match List.tryLast inside.Telemetry.Channels with
              | None -> ()
              | Some last ->
                  inside.Telemetry.Channels
                  |> List.filter (fun c -> c.Stage = last.Stage && c.Epoch = last.Epoch)
                  |> List.groupBy _.Layer
                  |> List.map (fun (layer, channels) -> layer, channels |> List.map _.Positive |> List.sort)
                  |> channelCurves names
                  |> chart inside.Label "share of +1" Percent names ]

    let private deadShare (s: LayerSample) = float s.DeadChannels / float (max 1 s.Channels)

    /// Charts of all that is told by layer; of what was not measured there is none.
    let figures (insides: Inside list) : Figure list =
        [ propagation insides "variance" _.Variance (Some _.ExpectedVariance)
          |> SmallMultiples.figure
              "variance"
              "Signal propagation: variance"
              "The variance of each binary layer's input, a mean over channels, at the start, in the middle and at the end of \
               each stage, and the variance that the network's constants are made for."
          propagation insides "mean²" _.MeanSquared None
          |> SmallMultiples.figure
              "mean-squared"
              "Signal propagation: mean²"
              "The square of each channel's mean, averaged over channels: where it is far above the variance, signs hardly depend on the image."
          byStage insides "share" Percent _.Window
          |> SmallMultiples.figure
              "window"
              "Inside the sign's gradient window"
              "The share of inputs inside the window [−1, 1) where the sign passes a gradient on. Lines are medians over a stage's samples, bands their \
               lowest and highest."
          channels insides
          |> SmallMultiples.figure
              "positive"
              "Share of +1 by channel"
              "How often a channel's sign is +1, at the end of the last epoch: near 0 % and near 100 % a channel says nothing."
          byStage insides "share of channels" Percent deadShare
          |> SmallMultiples.figure "dead" "Dead channels" "Those with one sign all over a batch."
          byStage insides "share of filters" Percent _.Clipped
          |> SmallMultiples.figure
              "clipped-layers"
              "Clipped filters"
              "The share of each layer's filters whose gradient was clipped."
          byStage insides "|g| / |w|" Logarithmic _.NormRatio
          |> SmallMultiples.figure
              "norm-ratio"
              "Gradient against weight"
              "The norm of a filter's gradient over the filter's own, before clipping: what clipping decides by."
          byStage insides "|g|" Logarithmic _.GradientNorm
          |> SmallMultiples.figure
              "gradient-norm"
              "Gradient norm"
              "The norm of the gradient of all of a layer's filters, before clipping." ]
        |> List.choose id
