namespace NormFree.Reporting

open System
open System.Globalization

/// A line of a chart.
type Curve =
    {
        Name: string
        /// x and y. A point that is not finite is a gap in the line.
        Points: (float * float) list
        /// A range around the line, such as a standard deviation: x, low, high.
        Band: (float * float * float) list
    }

    /// A line without a band.
    static member Line(name, points) = { Name = name; Points = points; Band = [] }

/// A labelled line: a vertical one, for example at the start of a stage, or a horizontal one.
type Boundary = { At: float; Label: string }

/// The horizontal axis.
type XAxis =
    | Numeric
    /// Names at 0, 1, 2, …
    | Categories of string list

/// The scale of the vertical axis.
type Scale =
    | Plain
    /// Fractions from 0 to 1, shown as 0% to 100%.
    | Percent
    /// Logarithmic if the values span more than a factor of 10. Values of 0 or less are omitted.
    | Logarithmic

/// <summary>A line chart. <c>Chart.png</c> and <c>Chart.svg</c> draw it.</summary>
/// <remarks>Curves differ in colour, dash and marker, so that the chart is readable without colour.</remarks>
type Chart =
    {
        Title: string
        XLabel: string
        X: XAxis
        YLabel: string
        Y: Scale
        /// The range of the vertical axis. None: the range of the curves.
        Range: (float * float) option
        Curves: Curve list
        Boundaries: Boundary list
        /// Horizontal lines, for example at chance. The legend names them.
        Levels: Boundary list
    }

/// What charts show, without drawing them.
module internal ChartData =
    /// Omits huge values like NaN: an axis needs a finite range.
    let isDrawn scale value = abs value < 1e100 && (scale <> Logarithmic || value > 0.0)

    /// The drawn y values, bands included.
    let heights chart =
        [ for curve in chart.Curves do
              yield! curve.Points |> List.map snd
              yield! curve.Band |> List.collect (fun (_, low, high) -> [ low; high ]) ]
        |> List.filter (isDrawn chart.Y)

    /// The share of the lowest values that may be outliers, and how far below the others an axis follows them.
    let private outliers, outlierFactor = 0.05, 10.0

    /// The range of heights. A few values far below the others would flatten a logarithmic chart, so they do not count.
    let range scale heights =
        let low, high = List.min heights, List.max heights

        if scale = Logarithmic then
            let sorted = List.sort heights
            max low (sorted[int (outliers * float (sorted.Length - 1))] / outlierFactor), high
        else
            low, high

    /// Gives all charts the same vertical range.
    let sameAxis (charts: Chart list) =
        match charts |> List.collect heights with
        | []
        | [ _ ] -> charts
        | heights ->
            let range = Some(range charts.Head.Y heights)
            charts |> List.map (fun chart -> { chart with Range = range })

    let private number scale (value: float) =
        let culture = CultureInfo.InvariantCulture

        match scale with
        | Percent -> (100.0 * value).ToString("0.##", culture) + " %"
        | Plain
        | Logarithmic -> value.ToString("g3", culture)

    let private place chart (x: float) =
        match chart.X with
        | Categories names when x >= 0.0 && int x < names.Length -> names[int x]
        | _ -> x.ToString("g3", CultureInfo.InvariantCulture)

    let private curveText chart (curve: Curve) =
        match curve.Points |> List.filter (fun (x, y) -> Double.IsFinite x && isDrawn chart.Y y) with
        | [] -> $"{curve.Name}: no values."
        | [ x, y ] -> $"{curve.Name}: {number chart.Y y} at {place chart x}."
        | points ->
            let heights = List.map snd points
            let first, last = List.head points, List.last points

            $"{curve.Name}: {number chart.Y (snd first)} at {place chart (fst first)}, {number chart.Y (snd last)} at {place chart (fst last)}, \
              lowest {number chart.Y (List.min heights)}, highest {number chart.Y (List.max heights)}."

    /// The largest number of curves in a description.
    let private maxDescribed = 12

    /// The chart as text, for screen readers.
    let describe chart =
        let shown = chart.Curves |> List.truncate maxDescribed |> List.map (curveText chart)
        let more = chart.Curves.Length - shown.Length
        let levels = [ for level in chart.Levels -> $"{level.Label}: {number chart.Y level.At}." ]

        [ $"{chart.Title}: {chart.YLabel} by {chart.XLabel}."
          yield! shown
          if more > 0 then
              $"{more} more curves."
          yield! levels ]
        |> String.concat " "
