namespace NormFree.Reporting

open System
open System.Globalization
open OxyPlot
open OxyPlot.Axes
open OxyPlot.Legends
open OxyPlot.Series

/// Converts charts to OxyPlot models.
module internal Plot =
    open Palette

    let private dashes =
        [| LineStyle.Solid; LineStyle.Dash; LineStyle.DashDot; LineStyle.Dot; LineStyle.LongDash |]

    let private markers =
        [| MarkerType.Circle; MarkerType.Square; MarkerType.Triangle; MarkerType.Diamond |]

    let private styled position title (axis: Axis) =
        axis.Position <- position
        axis.Title <- EmbeddedFont.drawable title
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
        let names = names |> List.map EmbeddedFont.drawable |> List.toArray

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

        // The margin has no numbers: there is no epoch 0.
        axis.LabelFormatter <-
            fun place ->
                if place < low then
                    ""
                else
                    place.ToString("0.###", CultureInfo.InvariantCulture)

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
        | None, heights -> ChartData.range chart.Y heights

    /// Values below this share of the highest are clipped: they would flatten the rest.
    let private logarithmicFloor = 1e-8

    /// The axis labels powers of ten only, so it shows at least two of them.
    let private logarithmic chart headroom (lowest: float, high: float) =
        let axis = LogarithmicAxis() |> styled AxisPosition.Left chart.YLabel
        let low = max lowest (high * logarithmicFloor)
        let written = floor (log10 high + 0.1) - ceil (log10 low - 0.1)
        axis.Minimum <- if written >= 1.0 then 10.0 ** (log10 low - 0.1) else 10.0 ** floor (log10 low)
        axis.Maximum <- if written >= 1.0 then 10.0 ** (log10 high + 0.1) else 10.0 ** ceil (log10 high)
        axis.Maximum <- axis.Maximum * (axis.Maximum / axis.Minimum) ** headroom
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

    let private linear chart headroom (low: float, high: float) =
        let axis = LinearAxis() |> styled AxisPosition.Left chart.YLabel
        let margin = max ((high - low) * 0.06) (max 1e-4 (abs high * 0.01))
        axis.Minimum <- if low >= 0.0 && low <= high * 0.6 then 0.0 else low - margin
        axis.Maximum <- high + margin + headroom * (high + margin - axis.Minimum)

        if chart.Y = Percent then
            let format = percentFormat (axis.Maximum - axis.Minimum)

            // The room above shares of 100 % has no numbers.
            axis.LabelFormatter <-
                fun share ->
                    if high <= 1.0 && share > 1.0 + 1e-9 then
                        ""
                    else
                        share.ToString(format, CultureInfo.InvariantCulture)

        axis

    let private vertical chart headroom : Axis =
        match chart.Y, range chart with
        | Logarithmic, (low, high) when high >= 10.0 * low -> logarithmic chart headroom (low, high)
        | _, range -> linear chart headroom range

    /// Whether the vertical axis of a chart covers a value.
    let covers chart value =
        let axis = vertical chart 0.0
        value >= axis.Minimum && value <= axis.Maximum

    /// Long curves have markers at most every so many pixels. Every category has one.
    let private markerDistance chart =
        match chart.X with
        | Numeric -> 28
        | Categories _ -> 0

    let private line chart index (curve: Curve) =
        let colour = curves[index % curves.Length]

        let series =
            LineSeries(
                Title = EmbeddedFont.drawable curve.Name,
                Color = colour,
                LineStyle = dashes[index % dashes.Length],
                StrokeThickness = 2.25,
                LineJoin = LineJoin.Round,
                MarkerType = markers[index % markers.Length],
                MarkerFill = colour,
                MarkerStroke = paper,
                MarkerStrokeThickness = 1.0,
                MarkerSize = 5.0,
                MarkerResolution = markerDistance chart
            )

        for x, y in curve.Points do
            let isDrawn = ChartData.isDrawn Plain x && ChartData.isDrawn chart.Y y
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

    /// A horizontal line with an entry in the legend; None outside the chart.
    let private level (x: Axis) (y: Axis) (level: Boundary) =
        if level.At < y.Minimum || level.At > y.Maximum then
            None
        else
            let series =
                LineSeries(
                    Title = EmbeddedFont.drawable level.Label,
                    Color = quiet,
                    LineStyle = LineStyle.Dot,
                    StrokeThickness = 1.5,
                    MarkerType = MarkerType.None
                )

            series.Points.Add(DataPoint(x.Minimum, level.At))
            series.Points.Add(DataPoint(x.Maximum, level.At))
            Some series

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

    let private largestTitle, smallestTitle = 18.0, 13.0

    /// Breaks a text into lines of at most that width, at blanks.
    let private broken size width (text: string) =
        let add (lines: string list) (word: string) =
            match lines with
            | line :: rest when EmbeddedFont.width size $"{line} {word}" <= width -> $"{line} {word}" :: rest
            | lines -> word :: lines

        text.Split ' ' |> Array.fold add [] |> List.rev |> String.concat "\n"

    /// The title's size and lines: a long one is smaller, and broken if that is not enough.
    let private fittedTitle (width: float) (title: string) =
        let room = width - 40.0
        let fitting = largestTitle * room / max 1.0 (EmbeddedFont.width largestTitle title)
        let size = fitting |> max smallestTitle |> min largestTitle
        size, broken size room title

    /// The chart's OxyPlot model for a width in pixels.
    let model (width: float) chart =
        let titleSize, title = fittedTitle width (EmbeddedFont.drawable chart.Title)

        let model =
            PlotModel(
                Title = title,
                TitleFontSize = titleSize,
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
        let boundaries = PlotBoundaries.place width (xAxis.Minimum, xAxis.Maximum) chart.Boundaries
        let yAxis = vertical chart (PlotBoundaries.headroom boundaries)
        model.Axes.Add yAxis
        PlotBoundaries.annotations yAxis boundaries |> List.iter model.Annotations.Add
        chart.Curves |> List.iteri (fun i curve -> bands chart.Y i curve |> List.iter model.Series.Add)
        chart.Curves |> List.iteri (fun i curve -> model.Series.Add(line chart i curve))
        chart.Levels |> List.choose (level xAxis yAxis) |> List.iter model.Series.Add
        model.Legends.Add(legend ())
        model
