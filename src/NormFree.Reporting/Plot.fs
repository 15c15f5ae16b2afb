namespace NormFree.Reporting

open System
open System.Globalization
open OxyPlot
open OxyPlot.Annotations
open OxyPlot.Axes
open OxyPlot.Legends
open OxyPlot.Series

/// The colours of charts.
module internal Palette =
    let private hex (code: uint) = OxyColor.FromUInt32(0xff000000u ||| code)
    let ink = hex 0x1f2328u
    let quiet = hex 0x5a626bu
    let grid = hex 0xe3e6eau
    let paper = hex 0xfffffeu

    /// Okabe and Ito's colours for every kind of colour vision; without their yellow and black, which vanish on one of the two
    /// backgrounds.
    let curves = [| 0x0072b2u; 0xd55e00u; 0x009e73u; 0xcc79a7u; 0xe69f00u; 0x56b4e9u |] |> Array.map hex

    /// The CSS variable of each colour, by which a page recolours a chart.
    let variables =
        [ ink, "--ink"
          quiet, "--quiet"
          grid, "--grid"
          paper, "--paper"
          for i, colour in Array.indexed curves do
              colour, $"--curve-{i}" ]

/// Charts as OxyPlot knows them.
module internal Plot =
    open Palette

    let private dashes =
        [| LineStyle.Solid; LineStyle.Dash; LineStyle.DashDot; LineStyle.Dot; LineStyle.LongDash |]

    let private markers =
        [| MarkerType.Circle; MarkerType.Square; MarkerType.Triangle; MarkerType.Diamond |]

    /// Control characters and halves of surrogate pairs have no place in XML and no glyph.
    let private drawable (text: string) =
        text |> String.map (fun c -> if Char.IsControl c || Char.IsSurrogate c then '?' else c)

    let private dress position title (axis: Axis) =
        axis.Position <- position
        axis.Title <- drawable title
        axis.TitleFontSize <- 15.0
        axis.FontSize <- 14.0
        axis.TextColor <- quiet
        axis.TitleColor <- ink
        axis.AxislineStyle <- LineStyle.None
        axis.TickStyle <- TickStyle.None
        axis.MajorGridlineStyle <- LineStyle.Solid
        axis.MajorGridlineColor <- grid
        axis.AxisTitleDistance <- 10.0
        axis

    let private ground (axis: Axis) =
        axis.MajorGridlineStyle <- LineStyle.None
        axis.AxislineStyle <- LineStyle.Solid
        axis.AxislineColor <- quiet
        axis.MinimumMajorStep <- 1.0
        axis

    /// Names stand upright-ish where there are many, and every second one is left out where there are too many.
    let private named (names: string list) chart =
        let axis = LinearAxis() |> dress AxisPosition.Bottom chart.XLabel |> ground
        axis.MajorStep <- float (1 + names.Length / 24)
        axis.MinorStep <- axis.MajorStep
        axis.Angle <- if names.Length > 4 then -55.0 else 0.0
        axis.FontSize <- if names.Length > 4 then 11.5 else 14.0
        axis.Minimum <- -0.5
        axis.Maximum <- float (max 1 names.Length) - 0.5
        let names = names |> List.map drawable |> List.toArray

        axis.LabelFormatter <-
            fun place ->
                let i = int (round place)
                if i >= 0 && i < names.Length then names[i] else ""

        axis

    let private numbered chart =
        let axis = LinearAxis() |> dress AxisPosition.Bottom chart.XLabel |> ground

        let values =
            [ yield! chart.Curves |> List.collect _.Points |> List.map fst |> List.filter (ChartData.isDrawn Plain)
              yield! chart.Boundaries |> List.map _.At ]

        let low, high = if values.IsEmpty then 0.0, 1.0 else List.min values, List.max values
        let margin = max 0.5 ((high - low) * 0.02)
        axis.Minimum <- low - margin
        axis.Maximum <- high + margin
        axis

    let private horizontal chart =
        match chart.X with
        | Numbers -> numbered chart
        | Names names -> named names chart

    /// The lowest and the highest number to be seen.
    let private range chart =
        match chart.Range, ChartData.heights chart with
        | Some range, _ -> range
        | None, [] -> if chart.Y = Logarithmic then 0.1, 1.0 else 0.0, 1.0
        | None, heights -> List.min heights, List.max heights

    /// Powers of ten are all that is written at the axis, so two of them at least are to be seen.
    let private logarithmic chart (low: float, high: float) =
        let axis = LogarithmicAxis() |> dress AxisPosition.Left chart.YLabel
        let written = floor (log10 high + 0.1) - ceil (log10 low - 0.1)
        axis.Minimum <- if written >= 1.0 then 10.0 ** (log10 low - 0.1) else 10.0 ** floor (log10 low)
        axis.Maximum <- if written >= 1.0 then 10.0 ** (log10 high + 0.1) else 10.0 ** ceil (log10 high)
        axis.MinorGridlineStyle <- LineStyle.Solid
        axis.MinorGridlineColor <- OxyColor.FromAColor(110uy, grid)
        axis.MinorTickSize <- 0.0
        axis.LabelFormatter <- fun value -> value.ToString("g3", CultureInfo.InvariantCulture)
        axis

    let private percentFormat extent =
        if extent > 0.05 then "0%"
        elif extent > 0.005 then "0.0%"
        elif extent > 0.0005 then "0.00%"
        else "0.000%"

    let private linear chart (low: float, high: float) =
        let axis = LinearAxis() |> dress AxisPosition.Left chart.YLabel
        let margin = max ((high - low) * 0.06) (max 1e-4 (abs high * 0.01))
        axis.Maximum <- high + margin
        axis.Minimum <- if low >= 0.0 && low <= high * 0.6 then 0.0 else low - margin

        if chart.Y = Percent then
            axis.StringFormat <- percentFormat (axis.Maximum - axis.Minimum)

        axis

    let private vertical chart : Axis =
        match chart.Y, range chart with
        | Logarithmic, (low, high) when high >= 10.0 * low -> logarithmic chart (low, high)
        | _, range -> linear chart range

    let private line scale index (curve: Curve) =
        let colour = curves[index % curves.Length]

        let series =
            LineSeries(
                Title = drawable curve.Name,
                Color = colour,
                LineStyle = dashes[index % dashes.Length],
                StrokeThickness = 2.25,
                LineJoin = LineJoin.Round,
                MarkerType = markers[index % markers.Length],
                MarkerFill = colour,
                MarkerStroke = paper,
                MarkerStrokeThickness = 1.0,
                MarkerSize = 5.0,
                MarkerResolution = 28
            )

        for x, y in curve.Points do
            let isDrawn = ChartData.isDrawn Plain x && ChartData.isDrawn scale y
            series.Points.Add(if isDrawn then DataPoint(x, y) else DataPoint.Undefined)

        series

    /// Runs of a band's points without a gap.
    let private pieces scale band =
        let isDrawn (x, low, high) =
            ChartData.isDrawn Plain x && ChartData.isDrawn scale low && ChartData.isDrawn scale high

        let folder point pieces =
            match pieces with
            | piece :: others when isDrawn point -> (point :: piece) :: others
            | _ -> [] :: pieces

        List.foldBack folder band [ [] ] |> List.filter (List.isEmpty >> not)

    let private bands scale index (curve: Curve) =
        [ for piece in pieces scale curve.Band do
              let area =
                  AreaSeries(
                      Color = OxyColors.Transparent,
                      Color2 = OxyColors.Transparent,
                      Fill = OxyColor.FromAColor(44uy, curves[index % curves.Length]),
                      StrokeThickness = 0.0,
                      MarkerType = MarkerType.None
                  )

              for x, low, high in piece do
                  area.Points.Add(DataPoint(x, high))
                  area.Points2.Add(DataPoint(x, low))

              area ]

    let private stage boundary =
        LineAnnotation(
            Type = LineAnnotationType.Vertical,
            X = boundary.At,
            Text = "\u00a0\u00a0" + drawable boundary.Label,
            Color = quiet,
            TextColor = quiet,
            FontSize = 13.0,
            StrokeThickness = 1.0,
            LineStyle = LineStyle.Dash,
            TextOrientation = AnnotationTextOrientation.Horizontal,
            TextLinePosition = 0.02,
            TextHorizontalAlignment = HorizontalAlignment.Left,
            TextVerticalAlignment = VerticalAlignment.Bottom,
            TextMargin = 6.0
        )

    let private legend () =
        Legend(
            LegendPlacement = LegendPlacement.Outside,
            LegendPosition = LegendPosition.TopLeft,
            LegendOrientation = LegendOrientation.Horizontal,
            LegendItemSpacing = 26.0,
            LegendSymbolLength = 44.0,
            LegendFontSize = 14.0,
            LegendTextColor = ink,
            LegendMargin = 4.0
        )

    /// The chart as OxyPlot knows it.
    let model chart =
        let model =
            PlotModel(
                Title = drawable chart.Title,
                TitleFontSize = 18.0,
                TitleFontWeight = 400.0,
                TitleColor = ink,
                TextColor = ink,
                TitleHorizontalAlignment = TitleHorizontalAlignment.CenteredWithinView,
                Background = paper,
                PlotAreaBorderThickness = OxyThickness 0.0,
                Padding = OxyThickness(16.0, 12.0, 24.0, 12.0),
                DefaultFont = "DejaVu Sans, Verdana, sans-serif"
            )

        model.Culture <- CultureInfo.InvariantCulture
        model.Axes.Add(horizontal chart)
        model.Axes.Add(vertical chart)
        chart.Boundaries |> List.iter (stage >> model.Annotations.Add)
        chart.Curves |> List.iteri (fun i curve -> bands chart.Y i curve |> List.iter model.Series.Add)
        chart.Curves |> List.iteri (fun i curve -> model.Series.Add(line chart.Y i curve))
        model.Legends.Add(legend ())
        model
