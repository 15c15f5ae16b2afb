namespace NormFree.Reporting

open OxyPlot
open OxyPlot.Annotations
open OxyPlot.Axes

/// A vertical line with its place in the room above the curves, which has rows for labels, numbered from 0 at the top.
type internal PlacedBoundary =
    {
        Boundary: Boundary
        /// The label, cut if it does not fit beside the line.
        Text: string
        /// The row of the label; None if it repeats the label before it.
        Row: int option
        /// The row in which the line starts: below all labels that it would cross.
        Top: int
        /// Whether the label stands left of the line, since it would leave the chart on the right.
        IsRight: bool
    }

/// Vertical lines whose labels lie over no curve, no line and no other label.
module internal PlotBoundaries =

    /// The height of a row, as a share of the curves' height.
    let private rowHeight = 0.12

    /// The pixels left and right of the curves: the axis with its title and numbers such as 100 %, and the padding.
    let private besideCurves = 120.0

    /// The pixels between a line and its label.
    let private offset = 8.0

    /// The pixels beside a label's text.
    let private besideLabel = offset + 12.0

    let private fontSize = 13.0

    /// Cuts a text at the end so that it is at most that wide.
    let private shortened (room: float) (text: string) =
        let fits length = EmbeddedFont.width fontSize (text.Substring(0, length) + "…") <= room

        if EmbeddedFont.width fontSize text <= room then
            text
        else
            text.Substring(0, seq { text.Length - 1 .. -1 .. 1 } |> Seq.tryFind fits |> Option.defaultValue 0)
            + "…"

    /// A label that fits beside its line, whether it stands left of it, and its extent on the axis.
    let private fitted perPixel (low: float, high: float) (boundary: Boundary) =
        let text = EmbeddedFont.drawable boundary.Label
        let width = EmbeddedFont.width fontSize text
        let right = (high - boundary.At) / perPixel - offset
        let left = (boundary.At - low) / perPixel - besideLabel
        let isRight = width > right && left > right
        let label = shortened (if isRight then left else right) text
        let length = perPixel * (besideLabel + EmbeddedFont.width fontSize label)

        label,
        isRight,
        (if isRight then
             boundary.At - length, boundary.At
         else
             boundary.At, boundary.At + length)

    let private overlaps (a: float, b: float) (c, d) = a < d && c < b

    /// Places the labels in the first free rows.
    let private inRows perPixel range (boundaries: Boundary list) =
        let place (used: (int * (float * float)) list, last) (boundary: Boundary) =
            let label, isRight, extent = fitted perPixel range boundary
            let placed = { Boundary = boundary; Text = label; Row = None; Top = 0; IsRight = isRight }

            if boundary.Label = "" || last = boundary.Label then
                placed, (used, last)
            else
                let isFree row = used |> List.forall (fun (r, other) -> r <> row || not (overlaps extent other))
                let row = Seq.initInfinite id |> Seq.find isFree
                { placed with Row = Some row }, ((row, extent) :: used, boundary.Label)

        boundaries |> List.sortBy _.At |> List.mapFold place ([], "")

    /// Places boundaries on an axis of that range in a chart of that width in pixels.
    let place (width: float) (range: float * float) (boundaries: Boundary list) : PlacedBoundary list =
        let perPixel = (snd range - fst range) / max 1.0 (width - besideCurves)
        let placed, (used, _) = inRows perPixel range boundaries

        let top (placed: PlacedBoundary) =
            [ yield! Option.toList placed.Row
              for row, (low, high) in used do
                  if low < placed.Boundary.At && placed.Boundary.At < high then
                      row + 1 ]
            |> List.fold max 0

        [ for boundary in placed -> { boundary with Top = top boundary } ]

    let private rows (placed: PlacedBoundary list) =
        placed |> List.choose _.Row |> List.fold (fun rows row -> max rows (row + 1)) 0

    /// The room above the curves for the labels, as a share of the curves' height.
    let headroom (placed: PlacedBoundary list) = rowHeight * float (rows placed)

    /// The value at the upper edge of a row.
    let private edge (axis: Axis) (rows: int) (row: int) =
        let share = 1.0 - rowHeight / (1.0 + rowHeight * float rows) * float row

        if axis :? LogarithmicAxis then
            axis.Minimum * (axis.Maximum / axis.Minimum) ** share
        else
            axis.Minimum + share * (axis.Maximum - axis.Minimum)

    let private line axis rows (placed: PlacedBoundary) : Annotation =
        LineAnnotation(
            Type = LineAnnotationType.Vertical,
            X = placed.Boundary.At,
            MaximumY = edge axis rows placed.Top,
            Color = Palette.quiet,
            StrokeThickness = 1.0,
            LineStyle = LineStyle.Dash
        )

    let private label axis rows (placed: PlacedBoundary) : Annotation option =
        placed.Row
        |> Option.map (fun row ->
            TextAnnotation(
                Text = placed.Text,
                TextPosition = DataPoint(placed.Boundary.At, edge axis rows row),
                Offset = ScreenVector((if placed.IsRight then -offset else offset), 2.0),
                TextColor = Palette.quiet,
                // Covers the grid lines under the text.
                Background = Palette.paper,
                ClipByXAxis = false,
                FontSize = fontSize,
                StrokeThickness = 0.0,
                Padding = OxyThickness 0.0,
                TextHorizontalAlignment =
                    (if placed.IsRight then HorizontalAlignment.Right else HorizontalAlignment.Left),
                TextVerticalAlignment = VerticalAlignment.Top
            ))

    /// The lines and labels in a chart with this vertical axis.
    let annotations (axis: Axis) (placed: PlacedBoundary list) : Annotation list =
        let rows = rows placed
        List.map (line axis rows) placed @ List.choose (label axis rows) placed
