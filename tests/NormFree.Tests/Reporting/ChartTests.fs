module NormFree.Tests.Reporting.ChartTests

open System
open System.Xml.Linq
open Expecto
open SkiaSharp
open NormFree.Reporting

let private chart =
    { Title = "A title"
      XLabel = "epoch"
      X = Numeric
      YLabel = "top-1"
      Y = Percent
      Range = None
      Curves =
        [ Curve.Line("rising", [ for i in 1..40 -> float i, 0.9 * (1.0 - exp (-float i / 10.0)) ])
          Curve.Line("with a gap", [ 1.0, 0.2; 2.0, nan; 3.0, infinity; 4.0, 0.3; 40.0, 0.4 ]) ]
      Boundaries = [ { At = 20.5; Label = "second" } ]
      Levels = [] }

let private numbers (text: string) =
    [ for m in System.Text.RegularExpressions.Regex.Matches(text, @"-?\d+(\.\d+)?") ->
          Double.Parse(m.Value, Globalization.CultureInfo.InvariantCulture) ]

/// A text of an SVG with its box: left, top, right and bottom.
type private Box = { Text: string; Left: float; Top: float; Right: float; Bottom: float }

/// The horizontal texts of an SVG.
let private boxes (svg: XElement) =
    [ for e in svg.Descendants() do
          let attribute (name: string) = e.Attribute name |> Option.ofObj |> Option.map _.Value

          if e.Name.LocalName = "text" then
              let place =
                  match
                      attribute "x" |> Option.map numbers, attribute "y" |> Option.map numbers, attribute "transform"
                  with
                  | Some [ x ], Some [ y ], None -> Some(x, y)
                  | _, _, Some transform when not (transform.Contains "rotate") ->
                      match numbers transform with
                      | [ x; y ] -> Some(x, y)
                      | _ -> None
                  | _ -> None

              match place, attribute "font-size" |> Option.map numbers with
              | Some(x, y), Some [ size ] ->
                  let width = EmbeddedFont.width size e.Value

                  let left =
                      match attribute "text-anchor" with
                      | Some "middle" -> x - width / 2.0
                      | Some "end" -> x - width
                      | _ -> x

                  { Text = e.Value.Trim '\u00a0'; Left = left; Right = left + width; Top = y - size; Bottom = y }
              | _ -> () ]

let private overlap a b = a.Left < b.Right && b.Left < a.Right && a.Top < b.Bottom && b.Top < a.Bottom

/// The points of the longest line of an SVG, which is a curve.
let private curvePoints (svg: XElement) =
    [ for e in svg.Descendants() do
          if e.Name.LocalName = "polyline" then
              match e.Attribute "points" with
              | null -> ()
              | points -> numbers points.Value |> List.chunkBySize 2 ]
    |> List.maxBy List.length

/// The vertical lines of an SVG: x, top and bottom.
let private verticals (svg: XElement) =
    let value (name: string) (e: XElement) = e.Attribute name |> Option.ofObj |> Option.map _.Value

    [ for e in svg.Descendants() do
          match e.Name.LocalName, value "points" e with
          | "polyline", Some points ->
              match numbers points with
              | [ x1; y1; x2; y2 ] when abs (x1 - x2) < 0.01 -> x1, min y1 y2, max y1 y2
              | _ -> ()
          | "line", _ ->
              match [ "x1"; "y1"; "x2"; "y2" ] |> List.choose (fun name -> value name e |> Option.map float) with
              | [ x1; y1; x2; y2 ] when abs (x1 - x2) < 0.01 -> x1, min y1 y2, max y1 y2
              | _ -> ()
          | _ -> () ]

/// The boundaries of runs whose stages have these numbers of epochs.
let private stagesOf (runs: (int * int) list) =
    [ for first, _ in runs do
          { At = 0.5; Label = "activations" }
          { At = float first + 0.5; Label = "activations+weights" } ]
    |> List.distinct

let private stageLabels =
    [ for runs in [ [ 1, 20 ]; [ 20, 1 ]; [ 4, 4 ]; [ 1, 1 ]; [ 2, 2; 30, 30 ]; [ 3, 30; 5, 2; 40, 1 ] ] do
          for width, height in [ 1100, 480; 640, 480; 480, 420; 430, 375 ] do
              test $"stages of {runs} epochs are labelled above the curve and beside each other, {width} pixels wide" {
                  let last = runs |> List.map (fun (a, b) -> a + b) |> List.max
                  let points = [ for i in 1..last -> float i, (if i = 1 then 0.0 else 0.9) ]

                  let drawn = { chart with Curves = [ Curve.Line("x", points @ points) ]; Boundaries = stagesOf runs }

                  let svg = XElement.Parse(Chart.svg width height drawn)
                  let texts = boxes svg
                  let labels = texts |> List.filter _.Text.StartsWith("activations")

                  for name in [ "activations"; "activations+weights" ] do
                      Expect.exists labels (fun label -> label.Text = name) name

                  let highest = curvePoints svg |> List.map (List.item 1) |> List.min

                  for label in labels do
                      Expect.isLessThan label.Bottom highest "above the curve"
                      Expect.isGreaterThanOrEqual label.Left 0.0 "in the picture"
                      Expect.isLessThanOrEqual label.Right (float width) "in the picture"

                      for other in texts do
                          Expect.isFalse
                              (not (obj.ReferenceEquals(other, label)) && overlap label other)
                              $"{label.Text} on {other.Text}"
              }

      for runs in [ [ 2, 2; 7, 7 ]; [ 4, 0; 30, 5 ]; [ 1, 40; 2, 39; 3, 38 ] ] do
          for width, height in [ 1100, 480; 640, 480; 430, 400 ] do
              test $"no line runs through a label: stages of {runs} epochs of long names, {width} pixels wide" {
                  let boundaries =
                      [ { At = 0.5; Label = "activations" }
                        for i, (first, _) in List.indexed runs do
                            { At = float first + 0.5; Label = $"activations+weights: configuration {i}" } ]

                  let last = runs |> List.map (fun (a, b) -> a + b) |> List.max

                  let drawn =
                      { chart with
                          Curves = [ Curve.Line("x", [ for i in 1..last -> float i, 0.9 ]) ]
                          Boundaries = boundaries }

                  let svg = XElement.Parse(Chart.svg width height drawn)
                  let labels = boxes svg |> List.filter _.Text.StartsWith("activations")
                  Expect.hasLength labels boundaries.Length "labels"

                  for label in labels do
                      Expect.isGreaterThanOrEqual label.Left 0.0 "in the picture"
                      Expect.isLessThanOrEqual label.Right (float width) "in the picture"

                      for x, top, bottom in verticals svg do
                          Expect.isFalse
                              (label.Left < x && x < label.Right && top < label.Bottom && label.Top < bottom)
                              $"a line at {x} runs through '{label.Text}'"
              }

      test "an axis has no number before its first point, and none above 100 %" {
          let drawn =
              { chart with
                  Curves = [ Curve.Line("x", [ for i in 1..14 -> float i, (if i < 8 then 0.7 else 1.0) ]) ]
                  Boundaries = [ { At = 0.5; Label = "one" }; { At = 7.5; Label = "two" } ] }

          let texts = [ for box in boxes (XElement.Parse(Chart.svg 900 500 drawn)) -> box.Text ]
          Expect.contains texts "14" "the last epoch"
          Expect.contains texts "100%" "the highest share"
          Expect.isFalse (List.contains "0" texts) "there is no epoch 0"
          Expect.isFalse (List.contains "110%" texts) "there is no share above 1"
      }

      for title in
          [ "bn-free"
            "bn-free (s2-bn-free-binary-1): activations+weights"
            "a label that is so long that no single line of a small chart has room for all of its words" ] do
          test $"the title {title} lies within a small chart" {
              let svg = XElement.Parse(Chart.svg 430 375 { chart with Title = title; Boundaries = [] })
              let words = title.Split ' '

              let lines =
                  boxes svg
                  |> List.filter (fun box ->
                      box.Text <> "" && box.Text.Split ' ' |> Array.forall (fun word -> Array.contains word words))

              Expect.equal (lines |> List.sortBy _.Top |> List.map _.Text |> String.concat " ") title "all words"

              for line in lines do
                  Expect.isGreaterThanOrEqual line.Left 0.0 "left"
                  Expect.isLessThanOrEqual line.Right 430.0 "right"
          }

      test "a level is named in the legend, has a line in the chart, and is omitted outside of it" {
          let level at = { chart with Boundaries = []; Levels = [ { At = at; Label = "chance, 10 %" } ] }
          Expect.stringContains (Chart.svg 900 500 (level 0.1)) ">chance, 10 %<" "named"
          Expect.isFalse ((Chart.svg 900 500 (level 5.0)).Contains "chance") "outside"
          Expect.stringContains (ChartData.describe (level 0.1)) "chance, 10 %: 10 %." "as text"
      }

      test "a few values far below the others do not stretch a logarithmic axis" {
          let points outlier = [ for i in 1..40 -> float i, (if i = 1 then outlier else 0.1 * float i) ]

          let labels outlier =
              let drawn =
                  { chart with Boundaries = []; Y = Logarithmic; Curves = [ Curve.Line("x", points outlier) ] }

              [ for box in boxes (XElement.Parse(Chart.svg 430 375 drawn)) -> box.Text ]

          Expect.contains (labels 1e-9) "1" "powers of ten"
          Expect.isFalse (labels 1e-9 |> List.exists (fun label -> label.StartsWith "1e-0")) "no tiny numbers"

          let shared =
              ChartData.sameAxis [ { chart with Y = Logarithmic; Curves = [ Curve.Line("x", points 1e-9) ] } ]

          Expect.isGreaterThan (fst shared.Head.Range.Value) 0.001 "a shared axis"
      }

      test "every category of a curve has a marker" {
          let drawn =
              { chart with
                  Boundaries = []
                  X = Categories [ for i in 0..15 -> $"layer{i}" ]
                  Curves = [ Curve.Line("x", [ for i in 0..15 -> float i, 0.5 ]) ] }

          let svg = XElement.Parse(Chart.svg 430 375 drawn)
          let circles = svg.Descendants() |> Seq.filter (fun e -> e.Name.LocalName = "ellipse") |> Seq.length
          Expect.isGreaterThanOrEqual circles 16 "markers"
      } ]

/// The share of pixels in a rectangle that are not white.
let private inkIn (rectangle: SKRectI) chart =
    use bitmap = SKBitmap.Decode(Chart.png 1200 700 chart)

    let inked =
        [ for y in rectangle.Top .. rectangle.Bottom - 1 do
              for x in rectangle.Left .. rectangle.Right - 1 do
                  let pixel = bitmap.GetPixel(x, y)
                  if int pixel.Red + int pixel.Green + int pixel.Blue < 600 then 1 else 0 ]

    float (List.sum inked) / float inked.Length

let private places =
    [ "the title", SKRectI(400, 10, 800, 45), { chart with Title = " " }
      "the horizontal axis' title", SKRectI(500, 660, 750, 690), { chart with XLabel = " " }
      "the vertical axis' title", SKRectI(10, 250, 45, 450), { chart with YLabel = " " } ]

let tests =
    testList
        "chart"
        [ test "a PNG decodes at its size" {
              use bitmap = SKBitmap.Decode(Chart.png 1200 700 chart)
              Expect.equal (bitmap.Width, bitmap.Height) (1200, 700) "size"
          }

          for name, rectangle, without in places do
              test $"{name} is drawn" {
                  Expect.isGreaterThan (inkIn rectangle chart) 0.01 "ink"
                  Expect.isLessThan (inkIn rectangle without) 0.003 "no ink without it"
              }

          test "the numbers at the axes are drawn" {
              Expect.isGreaterThan (inkIn (SKRectI(50, 80, 92, 640)) chart) 0.01 "vertical"
              Expect.isGreaterThan (inkIn (SKRectI(100, 634, 1180, 658)) chart) 0.005 "horizontal"
          }

          test "an SVG is one well-formed element that scales, with every name in it" {
              let root = XElement.Parse(Chart.svg 900 500 chart)
              Expect.equal root.Name.LocalName "svg" "root"
              Expect.isNotNull (root.Attribute "viewBox") "viewBox"

              let text =
                  String.Join(
                      '\n',
                      root.DescendantsAndSelf() |> Seq.filter (fun e -> e.Name.LocalName = "text") |> Seq.map _.Value
                  )

              for name in [ "A title"; "epoch"; "top-1"; "rising"; "with a gap"; "second" ] do
                  Expect.stringContains text name name
          }

          test "an SVG has no NaN or infinity" {
              let svg = Chart.svg 900 500 chart
              Expect.isFalse (svg.Contains "NaN" || svg.Contains "Infinity" || svg.Contains "∞") "numbers"
          }

          test "markup and control characters in names are text" {
              let name = "<script>&\"'\000\u001b\ud800"

              let named =
                  { chart with
                      Title = name
                      Curves = [ Curve.Line(name, [ 1.0, 1.0 ]) ]
                      Boundaries = [ { At = 1.0; Label = name } ] }

              let root = XElement.Parse(Chart.svg 900 500 named)
              Expect.isTrue (root.Descendants() |> Seq.forall (fun e -> e.Name.LocalName <> "script")) "script"
              Chart.png 300 200 named |> ignore
          }

          for name, curves in
              [ "no curve", []
                "an empty curve", [ Curve.Line("x", []) ]
                "one point", [ Curve.Line("x", [ 1.0, 0.5 ]) ]
                "no finite point", [ Curve.Line("x", [ 1.0, nan; nan, 1.0; 2.0, -infinity ]) ]
                "a huge range", [ Curve.Line("x", [ 1.0, 1e308; 2.0, -1e308; 3.0, 1e99; 4.0, -1e99 ]) ]
                "twenty curves", [ for i in 1..20 -> Curve.Line($"x{i}", [ 1.0, float i; 2.0, 0.0 ]) ]
                "a band with gaps",
                [ { Name = "x"
                    Points = [ 1.0, 0.5; 2.0, nan; 3.0, 0.5 ]
                    Band = [ 1.0, 0.4, 0.6; 2.0, nan, nan; 3.0, -infinity, 0.6; 4.0, 0.1, 0.2 ] } ] ] do
              test $"{name} can be drawn" {
                  for scale in [ Plain; Percent; Logarithmic ] do
                      let drawn = { chart with Curves = curves; Y = scale }
                      XElement.Parse(Chart.svg 900 500 drawn) |> ignore

                  use bitmap = SKBitmap.Decode(Chart.png 300 200 { chart with Curves = curves })
                  Expect.equal bitmap.Width 300 "width"
              }

          test "a few categories are all labelled" {
              let names = [ for i in 0..15 -> $"layer{i / 4 + 1}.{i % 4}" ]

              let svg =
                  Chart.svg
                      430
                      375
                      { chart with X = Categories names; Curves = [ Curve.Line("x", [ 0.0, 0.1; 15.0, 0.2 ]) ] }

              for name in names do
                  Expect.stringContains svg $">{name}<" name
          }

          test
              "a logarithmic axis writes powers of ten where the numbers span more than one, and plain numbers otherwise" {
              let svg points = Chart.svg 900 500 { chart with Y = Logarithmic; Curves = [ Curve.Line("x", points) ] }
              let wide = svg [ 1.0, 0.002; 2.0, 3.0; 3.0, 0.0; 4.0, -1.0 ]

              for label in [ "0.01"; "0.1"; "1" ] do
                  Expect.stringContains wide $">{label}<" label

              Expect.stringContains (svg [ 1.0, 0.8; 2.0, 1.2 ]) ">0.9<" "plain"
          }

          test "charts of one range have the same numbers at their axes" {
              let one low high = { chart with Boundaries = []; Curves = [ Curve.Line("x", [ 1.0, low; 2.0, high ]) ] }

              let numbers svg =
                  [ for text in XElement.Parse(svg: string).Descendants() do
                        if text.Value.EndsWith '%' then
                            text.Value ]

              let alone = numbers (Chart.svg 430 375 (one 0.0 0.1))
              let range = { one 0.0 0.1 with Range = Some(0.0, 0.9) }
              Expect.equal (numbers (Chart.svg 430 375 range)) (numbers (Chart.svg 430 375 (one 0.0 0.9))) "the same"
              Expect.notEqual alone (numbers (Chart.svg 430 375 range)) "not as it would be alone"
          }

          test "labels of boundaries lie above all points, and repeated or overlapping ones are omitted" {
              let stages = [ for i in 0..3 -> { At = 10.0 * float i + 0.5; Label = if i < 2 then "one" else "two" } ]

              let flat =
                  { chart with
                      Curves = [ Curve.Line("x", [ for i in 1..40 -> float i, (if i = 1 then 0.0 else 0.9) ]) ]
                      Boundaries = stages }

              let svg = XElement.Parse(Chart.svg 900 500 flat)

              let named name =
                  [ for e in svg.Descendants() do
                        if e.Name.LocalName = name then
                            e ]

              let labels =
                  named "text" |> List.filter (fun e -> List.contains (e.Value.Trim '\u00a0') [ "one"; "two" ])

              Expect.equal [ for label in labels -> label.Value.Trim '\u00a0' ] [ "one"; "two" ] "one label each"

              let values (name: string) (e: XElement) =
                  e.Attribute name |> Option.ofObj |> Option.map (fun a -> numbers a.Value)

              // An SVG's text has a position of its own or one in its transform.
              let height (e: XElement) =
                  match values "y" e, values "transform" e with
                  | Some [ y ], _ -> y
                  | _, Some(_ :: y :: _) -> y
                  | _ -> failtest "a label without a position"

              let highest =
                  named "polyline"
                  |> List.map (values "points" >> Option.defaultValue [] >> List.chunkBySize 2)
                  |> List.maxBy List.length // the curve, not a grid line
                  |> List.map (List.item 1)
                  |> List.min

              for label in labels do
                  Expect.isLessThan (height label) highest "above the curve"
          }

          yield! stageLabels

          test "a grid of charts has room for all of them" {
              use bitmap = SKBitmap.Decode(Chart.grid 2 300 200 [ chart; chart; chart ])
              Expect.equal (bitmap.Width, bitmap.Height) (600, 400) "two rows of two"
          } ]
