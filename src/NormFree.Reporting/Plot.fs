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

    /// The colour-blind-safe palette of Okabe and Ito without yellow and black, which vanish on a light or dark background.
    let curves = [| 0x0072b2u; 0xd55e00u; 0x009e73u; 0xcc79a7u; 0xe69f00u; 0x56b4e9u |] |> Array.map hex

    /// The CSS variable of each colour.
    let variables =
        [ ink, "--ink"
          quiet, "--quiet"
          grid, "--grid"
          paper, "--paper"
          for i, colour in Array.indexed curves do
              colour, $"--curve-{i}" ]

/// Converts charts to OxyPlot models.
module internal Plot =
    open Palette

    let private dashes =
        [| LineStyle.Solid; LineStyle.Dash; LineStyle.DashDot; LineStyle.Dot; LineStyle.LongDash |]

    let private markers =
        [| MarkerType.Circle; MarkerType.Square; MarkerType.Triangle; MarkerType.Diamond |]

    /// Replaces characters that are invalid in XML or have no glyph.
    let private drawable (text: string) =
        text |> String.map (fun c -> if Char.IsControl c || Char.IsSurrogate c then '?' else c)

    let private styled position title (axis: Axis) =
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

    let private asBaseline (axis: Axis) =
        axis.MajorGridlineStyle <- LineStyle.None
        axis.AxislineStyle <- LineStyle.Solid
        axis.AxislineColor <- quiet
        axis.MinimumMajorStep <- 1.0
        axis

    /// Rotates the names if there are more than 4, and omits every second one if there are more than 24.
    let private categories (names: string list) chart =
        let axis = LinearAxis() |> styled AxisPosition.Bottom chart.XLabel |> asBaseline
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

    let private numeric chart =
        let axis = LinearAxis() |> styled AxisPosition.Bottom chart.XLabel |> asBaseline

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
        | Numeric -> numeric chart
        | Categories names -> categories names chart

    /// The range of y values to show.
    let private range chart =
        match chart.Range, ChartData.heights chart with
        | Some range, _ -> range
        | None, [] -> if chart.Y = Logarithmic then 0.1, 1.0 else 0.0, 1.0
        | None, heights -> List.min heights, List.max heights

    /// The share of a chart's height above the curves that is reserved for the labels of boundaries.
    let private headroom chart = if chart.Boundaries.IsEmpty then 0.0 else 0.12

    /// Values below this share of the highest are clipped: they would flatten the rest.
    let private logarithmicFloor = 1e-8

    /// The axis labels powers of ten only, so it shows at least two of them.
    let private logarithmic chart (lowest: float, high: float) =
        let axis = LogarithmicAxis() |> styled AxisPosition.Left chart.YLabel
        let low = max lowest (high * logarithmicFloor)
        let written = floor (log10 high + 0.1) - ceil (log10 low - 0.1)
        axis.Minimum <- if written >= 1.0 then 10.0 ** (log10 low - 0.1) else 10.0 ** floor (log10 low)
        axis.Maximum <- if written >= 1.0 then 10.0 ** (log10 high + 0.1) else 10.0 ** ceil (log10 high)
        axis.Maximum <- axis.Maximum * (axis.Maximum / axis.Minimum) ** headroom chart
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
        let axis = LinearAxis() |> styled AxisPosition.Left chart.YLabel
        let margin = max ((high - low) * 0.06) (max 1e-4 (abs high * 0.01))
        axis.Minimum <- if low >= 0.0 && low <= high * 0.6 then 0.0 else low - margin
        axis.Maximum <- high + margin + headroom chart * (high + margin - axis.Minimum)

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

    /// The parts of a band between its gaps.
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

    /// A vertical line. Its label lies in the headroom, left of the line if it stands near the right edge.
    let private boundaryLine (low: float, high: float) (at, label) =
        let isRight = at > low + 0.7 * (high - low)

        LineAnnotation(
            Type = LineAnnotationType.Vertical,
            X = at,
            Text = (if label = "" then "" else $"\u00a0\u00a0{drawable label}\u00a0\u00a0"),
            Color = quiet,
            TextColor = quiet,
            FontSize = 13.0,
            StrokeThickness = 1.0,
            LineStyle = LineStyle.Dash,
            TextOrientation = AnnotationTextOrientation.Horizontal,
            TextLinePosition = 0.99,
            TextHorizontalAlignment = (if isRight then HorizontalAlignment.Right else HorizontalAlignment.Left),
            TextVerticalAlignment = VerticalAlignment.Top,
            TextMargin = 2.0
        )

    /// The lines of all boundaries. A label is omitted if it would overlap the one before it or repeat it.
    let private boundaryLines (axis: Axis) (boundaries: Boundary list) =
        let low, high = axis.Minimum, axis.Maximum

        let place (previous: Boundary option) (boundary: Boundary) =
            match previous with
            | Some p when p.Label = boundary.Label || boundary.At - p.At < 0.25 * (high - low) ->
                (boundary.At, ""), previous
            | _ -> (boundary.At, boundary.Label), Some boundary

        boundaries
        |> List.sortBy _.At
        |> List.mapFold place None
        |> fst
        |> List.map (boundaryLine (low, high))

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

    /// The chart's OxyPlot model.
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
        let xAxis = horizontal chart
        model.Axes.Add xAxis
        model.Axes.Add(vertical chart)
        chart.Boundaries |> boundaryLines xAxis |> List.iter model.Annotations.Add
        chart.Curves |> List.iteri (fun i curve -> bands chart.Y i curve |> List.iter model.Series.Add)
        chart.Curves |> List.iteri (fun i curve -> model.Series.Add(line chart.Y i curve))
        model.Legends.Add(legend ())
        model
