namespace NormFree.Reporting

open System
open System.Globalization
open System.Security.Cryptography
open System.Text
open OxyPlot
open OxyPlot.Annotations
open OxyPlot.Axes
open OxyPlot.Legends
open OxyPlot.Series
open global.SkiaSharp
open NormFree.Formats

/// One line of a chart. A point without a finite place is left out, and the line has a gap there.
type Curve = { Name: string; Points: (float * float) list }

/// A vertical line, for example where a stage begins.
type Boundary = { At: float; Label: string }

/// What the numbers on the vertical axis are.
type Scale =
    | Plain
    /// Shares from 0 to 1, written as 0% to 100%.
    | Percent

/// <summary>A line chart as a value; <c>Chart.png</c> and <c>Chart.svg</c> draw it.</summary>
/// <remarks>Curves differ in colour, dash and marker, so that the chart reads without colour.</remarks>
type Chart =
    { Title: string
      XLabel: string
      YLabel: string
      Y: Scale
      Curves: Curve list
      Boundaries: Boundary list }

/// <summary>Draws charts.</summary>
/// <example><code>
/// { Title = "Test accuracy"; XLabel = "epoch"; YLabel = "top-1"; Y = Percent; Boundaries = []
///   Curves = [ { Name = "bn-free"; Points = [ 1.0, 0.31; 2.0, 0.42 ] } ] }
/// |> Chart.writePng "accuracy.png"
/// </code></example>
module Chart =
    let private hex (code: uint) = OxyColor.FromUInt32(0xff000000u ||| code)
    let private ink = hex 0x1f2328u
    let private quiet = hex 0x5a626bu
    let private grid = hex 0xe3e6eau
    let private paper = hex 0xfffffeu

    /// Okabe and Ito's colours for every kind of colour vision; without their yellow and black, which vanish on one of the two
    /// backgrounds.
    let private colours =
        [| 0x0072b2u; 0xd55e00u; 0x009e73u; 0xcc79a7u; 0xe69f00u; 0x56b4e9u |] |> Array.map hex

    let private dashes =
        [| LineStyle.Solid; LineStyle.Dash; LineStyle.DashDot; LineStyle.Dot; LineStyle.LongDash |]

    let private markers =
        [| MarkerType.Circle; MarkerType.Square; MarkerType.Triangle; MarkerType.Diamond |]

    /// Control characters and halves of surrogate pairs have no place in XML and no glyph.
    let private drawable (text: string) =
        text |> String.map (fun c -> if Char.IsControl c || Char.IsSurrogate c then '?' else c)

    let private axis position title =
        LinearAxis(
            Position = position,
            Title = drawable title,
            TitleFontSize = 15.0,
            FontSize = 14.0,
            TextColor = quiet,
            TitleColor = ink,
            AxislineStyle = LineStyle.None,
            TickStyle = TickStyle.None,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = grid,
            AxisTitleDistance = 10.0
        )

    /// A loss that ran away is left out like one that is no number: the range of an axis must stay finite.
    let private drawn value = abs value < 1e100

    /// The numbers of one axis that can be drawn.
    let private finite pick chart = chart.Curves |> List.collect _.Points |> List.map pick |> List.filter drawn

    let private horizontal chart =
        let axis = axis AxisPosition.Bottom chart.XLabel
        axis.MajorGridlineStyle <- LineStyle.None
        axis.AxislineStyle <- LineStyle.Solid
        axis.AxislineColor <- quiet
        axis.MinimumMajorStep <- 1.0
        let values = finite fst chart @ (chart.Boundaries |> List.map _.At)
        let low, high = if values.IsEmpty then 0.0, 1.0 else List.min values, List.max values
        let margin = max 0.5 ((high - low) * 0.02)
        axis.Minimum <- low - margin
        axis.Maximum <- high + margin
        axis

    let private vertical chart =
        let axis = axis AxisPosition.Left chart.YLabel
        let values = finite snd chart
        let low, high = if values.IsEmpty then 0.0, 1.0 else List.min values, List.max values
        let margin = max ((high - low) * 0.06) (max 1e-3 (abs high * 0.01))
        axis.Maximum <- high + margin
        axis.Minimum <- if low >= 0.0 && low < high * 0.6 then 0.0 else low - margin

        if chart.Y = Percent then
            axis.StringFormat <- if high - low > 0.05 then "0%" else "0.0%"

        axis

    let private line index curve =
        let colour = colours[index % colours.Length]

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
            series.Points.Add(if drawn x && drawn y then DataPoint(x, y) else DataPoint.Undefined)

        series

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
    let private model chart =
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
        chart.Curves |> List.iteri (fun index curve -> model.Series.Add(line index curve))
        model.Legends.Add(legend ())
        model

    /// <summary>The chart as a PNG file's bytes, with text on machines that have no fonts.</summary>
    let png (width: int) (height: int) chart =
        use bitmap = new SKBitmap(width, height)
        use canvas = new SKCanvas(bitmap)
        canvas.Clear(SKColors.White)
        use context = new PlotText(canvas)
        let model = model chart
        (model :> IPlotModel).Update true
        (model :> IPlotModel).Render(context, OxyRect(0.0, 0.0, float width, float height))
        canvas.Flush()
        use data = bitmap.Encode(SKEncodedImageFormat.Png, 100)
        data.ToArray()

    /// CSS variables instead of fixed colours, with those as what holds where no page defines them.
    let private themed (svg: string) =
        [ ink, "--ink"; quiet, "--quiet"; grid, "--grid"; paper, "--paper" ]
        |> List.fold
            (fun (svg: string) (colour, variable) ->
                let code = $"rgb({colour.R},{colour.G},{colour.B})"
                svg.Replace(code, $"var({variable},{code})"))
            svg

    /// OxyPlot numbers its clip paths from 1 in every chart, and a page has one space of names for all of its charts.
    let private ownNames (svg: string) =
        let own = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes svg), 0, 4)
        svg.Replace("id=\"clipPath", $"id=\"c{own}-").Replace("url(#clipPath", $"url(#c{own}-")

    /// <summary>The chart as an SVG element for a page. It fills the width that it is given; the page's CSS variables
    /// <c>--ink</c>, <c>--quiet</c>, <c>--grid</c> and <c>--paper</c> recolour it.</summary>
    let svg (width: int) (height: int) chart =
        use bitmap = new SKBitmap(1, 1)
        use canvas = new SKCanvas(bitmap)
        use measurer = new PlotText(canvas)

        let text =
            SvgExporter.ExportToString(
                model chart,
                float width,
                float height,
                false,
                measurer,
                useVerticalTextAlignmentWorkaround = false
            )

        // OxyPlot begins with an XML declaration and a fixed size, which have no place inside a page.
        let body = text.Substring(text.IndexOf('>', text.IndexOf "<svg") + 1)

        $"<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" viewBox=\"0 0 {width} {height}\">"
        + (body |> themed |> ownNames).TrimEnd()

    /// <summary>Writes the chart as a PNG of 1200×700, whole or not at all.</summary>
    let writePng (path: string) chart =
        let bytes = png 1200 700 chart
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))
