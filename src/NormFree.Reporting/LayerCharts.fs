namespace NormFree.Reporting

open System
open NormFree.Runs

/// Charts of telemetry by layer.
module internal LayerCharts =

    /// The stages in order, each with its samples grouped by step.
    let private stages (run: RunTelemetry) =
        run.Telemetry.Layers
        |> List.groupBy _.Stage
        |> List.map (fun (stage, samples) ->
            stage, samples |> List.groupBy (fun s -> s.Epoch, s.Step) |> List.sortBy fst |> List.map snd)

    let private layers (run: RunTelemetry) = run.Telemetry.Layers |> List.map _.Layer |> List.distinct

    let private chart title yLabel scale names curves : Chart =
        { Title = title
          XLabel = "layer"
          X = Categories(LayerNames.short names)
          YLabel = yLabel
          Y = scale
          Range = None
          Curves = curves
          Boundaries = []
          Levels = [] }

    let private hasNumbers (curve: Curve) = curve.Points |> List.exists (snd >> Double.IsFinite)

    let private place (names: string list) =
        names |> List.indexed |> List.map (fun (i, name) -> name, float i) |> Map.ofList

    let private line name names pick (samples: LayerSample list) =
        let places = place names
        Curve.Line(name, samples |> List.map (fun s -> places[s.Layer], pick s) |> List.sortBy fst)

    /// The first, middle and last step, without repetitions.
    let private selected (moments: 'a list) =
        [ "start", 0; "middle", (moments.Length - 1) / 2; "end", moments.Length - 1 ]
        |> List.distinctBy snd
        |> List.map (fun (name, place) -> name, moments[place])

    /// One chart per stage of each run: start, middle, end, and the expected values.
    let private propagation (runs: RunTelemetry list) yLabel pick expected =
        [ for run in runs do
              let names = layers run

              for stage, moments in stages run do
                  [ for name, samples in selected moments do
                        line name names pick samples
                    match expected with
                    | Some expected -> line "expected" names expected (List.last moments)
                    | None -> () ]
                  |> List.filter hasNumbers
                  |> chart $"{run.Label}: {stage}" yLabel Logarithmic names ]

    let private median values =
        match List.sort values with
        | [] -> nan
        | sorted -> (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2.0

    /// One curve per stage: each layer's median over the stage's samples, with their range as the band.
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

    let private byStage (runs: RunTelemetry list) yLabel scale pick =
        [ for run in runs do
              let names = layers run
              stages run |> List.map (overStage names pick) |> chart run.Label yLabel scale names ]

    /// The quantiles of each layer's sorted channels. The band holds the middle half of the channels.
    let private channelCurves (names: string list) (shares: (string * float list) list) : Curve list =
        let places = place names
        let quantile part (sorted: float list) = sorted[int (round (part * float (sorted.Length - 1)))]
        let at part = [ for layer, shares in shares -> places[layer], quantile part shares ]

        [ { Name = "median and middle half"
            Points = at 0.5
            Band = List.map2 (fun (x, low) (_, high) -> x, low, high) (at 0.25) (at 0.75) }
          Curve.Line("highest", at 1.0)
          Curve.Line("lowest", at 0.0) ]

    /// One chart per run, at the end of its last epoch.
    let private channels (runs: RunTelemetry list) =
        [ for run in runs do
              let names = run.Telemetry.Channels |> List.map _.Layer |> List.distinct

              match List.tryLast run.Telemetry.Channels with
              | None -> ()
              | Some last ->
                  run.Telemetry.Channels
                  |> List.filter (fun c -> c.Stage = last.Stage && c.Epoch = last.Epoch)
                  |> List.groupBy _.Layer
                  |> List.map (fun (layer, channels) -> layer, channels |> List.map _.Positive |> List.sort)
                  |> channelCurves names
                  |> chart run.Label "share of +1" Percent names ]

    let private deadShare (s: LayerSample) = float s.DeadChannels / float (max 1 s.Channels)

    /// What binarising the weights changed, layer by layer, with the variance to compare it with.
    let private transition (runs: RunTelemetry list) =
        [ for run in runs do
              match run.Telemetry.Transition with
              | [] -> ()
              | samples ->
                  let names = samples |> List.map _.Layer
                  let curve name pick = Curve.Line(name, samples |> List.mapi (fun i s -> float i, pick s))

                  [ curve "change of means²" _.MeanChange
                    curve "variance before" _.VarianceBefore
                    curve "variance after" _.VarianceAfter
                    curve "means² into the shortcut" _.ShortcutMeanSquared ]
                  |> List.filter hasNumbers
                  |> chart run.Label "square of the input" Logarithmic names ]

    /// The layers whose input passes through a shortcut's convolution.
    let private shortcuts (runs: RunTelemetry list) =
        let isMeasured (s: LayerSample) = Double.IsFinite s.ShortcutMeanSquared

        let withShortcuts (run: RunTelemetry) =
            { run with
                Telemetry = { run.Telemetry with Layers = run.Telemetry.Layers |> List.filter isMeasured } }

        byStage (List.map withShortcuts runs) "mean²" Logarithmic _.ShortcutMeanSquared

    /// Charts of all measured quantities.
    let figures (runs: RunTelemetry list) : Figure list =
        [ transition runs
          |> SmallMultiples.figure
              "transition"
              "Transition to binary weights"
              "What binarising the weights of stage 1 changes in each binary layer's input, before any step of stage 2: the squared change of the \
               channel means, averaged over channels, beside the variance. A change far above that of the layers before it is a leak. One-bit \
               filters of a shortcut do not sum to zero, so the channel means of the shortcut's input leak through them."
          shortcuts runs
          |> SmallMultiples.figure
              "shortcut-means"
              "Input of shortcut convolutions: mean²"
              "Squared mean of each channel of the input, averaged over channels. Lines are medians over a stage's samples; bands span their range."
          propagation runs "variance" _.Variance (Some _.ExpectedVariance)
          |> SmallMultiples.figure
              "variance"
              "Signal propagation: variance"
              "Variance of each binary layer's input, averaged over channels, at the start, middle and end of each stage, and the \
               variance that the network's constants assume."
          propagation runs "mean²" _.MeanSquared None
          |> SmallMultiples.figure
              "mean-squared"
              "Signal propagation: mean²"
              "Squared mean of each channel of the input, averaged over channels. If it is far above the variance, signs hardly depend on the image."
          byStage runs "share" Percent _.Window
          |> SmallMultiples.figure
              "window"
              "Inputs in the sign's gradient window"
              "Share of inputs in [−1, 1), where the sign's straight-through gradient is not 0. Lines are medians over a stage's samples; bands \
               span their range."
          channels runs
          |> SmallMultiples.figure
              "positive"
              "Share of +1 by channel"
              "Share of +1 among each channel's signs at the end of the last epoch. A channel near 0 % or 100 % carries no information."
          byStage runs "share of channels" Percent deadShare
          |> SmallMultiples.figure "dead" "Dead channels" "Share of channels with the same sign in the whole batch."
          byStage runs "share of filters" Percent _.Clipped
          |> SmallMultiples.figure
              "clipped-layers"
              "Clipped filters"
              "Share of each layer's filters whose gradient was clipped."
          byStage runs "|g| / |w|" Logarithmic _.NormRatio
          |> SmallMultiples.figure
              "norm-ratio"
              "Gradient-to-weight ratio"
              "Norm of a filter's gradient divided by the filter's norm or by 0.001 if that is larger, before clipping. Clipping compares it with its limit λ."
          byStage runs "|g|" Logarithmic _.GradientNorm
          |> SmallMultiples.figure
              "gradient-norm"
              "Gradient norm"
              "Norm of the gradient of all filters of a layer, before clipping." ]
        |> List.choose id
