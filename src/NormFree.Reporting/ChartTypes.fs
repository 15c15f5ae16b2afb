namespace NormFree.Reporting

open System
open System.Globalization

/// One line of a chart.
type Curve =
    {
        Name: string
        /// A point without a finite place is left out, and the line has a gap there.
        Points: (float * float) list
        /// What lies around the line, such as the lowest and the highest of what it stands for: x, low, high.
        Band: (float * float * float) list
    }

    /// A line with nothing around it.
    static member Line(name, points) = { Name = name; Points = points; Band = [] }

/// A vertical line, for example where a stage begins.
type Boundary = { At: float; Label: string }

/// What lies on the horizontal axis.
type Horizontal =
    | Numbers
    /// Things with names: the first one at 0, the next one at 1, and so on.
    | Names of string list

/// What the numbers on the vertical axis are.
type Scale =
    | Plain
    /// Shares from 0 to 1, written as 0% to 100%.
    | Percent
    /// In powers of ten where the numbers span more than one; what is not above 0 is left out.
    | Logarithmic

/// <summary>A line chart as a value; <c>Chart.png</c> and <c>Chart.svg</c> draw it.</summary>
/// <remarks>Curves differ in colour, dash and marker, so that the chart reads without colour.</remarks>
type Chart =
    {
        Title: string
        XLabel: string
        X: Horizontal
        YLabel: string
        Y: Scale
        /// The lowest and the highest number of the vertical axis; as the curves need it where nothing is said.
        Range: (float * float) option
        Curves: Curve list
        Boundaries: Boundary list
    }

/// What charts say, without a drawing.
module internal ChartData =
    /// A loss that ran away is left out like one that is no number: the range of an axis must stay finite.
    let isDrawn scale value = abs value < 1e100 && (scale <> Logarithmic || value > 0.0)

    /// The vertical numbers of a chart that are drawn, those of its bands included.
    let heights chart =
        [ for curve in chart.Curves do
              yield! curve.Points |> List.map snd
              yield! curve.Band |> List.collect (fun (_, low, high) -> [ low; high ]) ]
        |> List.filter (isDrawn chart.Y)

    /// The charts with one vertical axis, wide enough for all of them.
    let sameAxis charts =
        match charts |> List.collect heights with
        | []
        | [ _ ] -> charts
        | heights ->
            let range = Some(List.min heights, List.max heights)
            charts |> List.map (fun chart -> { chart with Range = range })

    let private number scale (value: float) =
        let culture = CultureInfo.InvariantCulture

        match scale with
        | Percent -> (100.0 * value).ToString("0.##", culture) + " %"
        | Plain
        | Logarithmic -> value.ToString("g3", culture)

    let private place chart (x: float) =
        match chart.X with
        | Names names when x >= 0.0 && int x < names.Length -> names[int x]
        | _ -> x.ToString("g3", CultureInfo.InvariantCulture)

    let private curveText chart (curve: Curve) =
        match curve.Points |> List.filter (fun (x, y) -> Double.IsFinite x && isDrawn chart.Y y) with
        | [] -> $"{curve.Name}: nothing."
        | [ x, y ] -> $"{curve.Name}: {number chart.Y y} at {place chart x}."
        | points ->
            let heights = List.map snd points
            let first, last = List.head points, List.last points

            $"{curve.Name}: {number chart.Y (snd first)} at {place chart (fst first)}, {number chart.Y (snd last)} at {place chart (fst last)}, \
              lowest {number chart.Y (List.min heights)}, highest {number chart.Y (List.max heights)}."

    /// A text describes so many curves.
    let private describedAtMost = 12

    /// The chart in words, for those who do not see it.
    let describe chart =
        let shown = chart.Curves |> List.truncate describedAtMost |> List.map (curveText chart)
        let more = chart.Curves.Length - shown.Length

        [ $"{chart.Title}: {chart.YLabel} by {chart.XLabel}."
          yield! shown
          if more > 0 then
              $"And {more} more." ]
        |> String.concat " "
