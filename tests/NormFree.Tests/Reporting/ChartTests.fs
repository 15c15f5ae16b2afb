module NormFree.Tests.Reporting.ChartTests

open System
open System.Xml.Linq
open Expecto
open SkiaSharp
open NormFree.Reporting
open NormFree.Tests.Reporting.ChartSupport

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

          yield! ChartLabelTests.tests

          test "a grid of charts has room for all of them" {
              use bitmap = SKBitmap.Decode(Chart.grid 2 300 200 [ chart; chart; chart ])
              Expect.equal (bitmap.Width, bitmap.Height) (600, 400) "two rows of two"
          } ]
