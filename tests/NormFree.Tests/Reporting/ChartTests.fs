module NormFree.Tests.Reporting.ChartTests

open System
open System.Xml.Linq
open Expecto
open SkiaSharp
open NormFree.Reporting

let private chart =
    { Title = "A title"
      XLabel = "epoch"
      YLabel = "top-1"
      Y = Percent
      Curves =
        [ { Name = "rising"; Points = [ for i in 1..40 -> float i, 0.9 * (1.0 - exp (-float i / 10.0)) ] }
          { Name = "with a gap"; Points = [ 1.0, 0.2; 2.0, nan; 3.0, infinity; 4.0, 0.3; 40.0, 0.4 ] } ]
      Boundaries = [ { At = 20.5; Label = "second" } ] }

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
              test $"{name} is really drawn" {
                  Expect.isGreaterThan (inkIn rectangle chart) 0.01 "ink"
                  Expect.isLessThan (inkIn rectangle without) 0.003 "no ink without it"
              }

          test "the numbers at the axes are really drawn" {
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

          test "nothing that is not a number reaches an SVG" {
              let svg = Chart.svg 900 500 chart
              Expect.isFalse (svg.Contains "NaN" || svg.Contains "Infinity" || svg.Contains "∞") "numbers"
          }

          test "markup and control characters in names are text" {
              let name = "<script>&\"'\000\u001b\ud800"

              let named =
                  { chart with
                      Title = name
                      Curves = [ { Name = name; Points = [ 1.0, 1.0 ] } ]
                      Boundaries = [ { At = 1.0; Label = name } ] }

              let root = XElement.Parse(Chart.svg 900 500 named)
              Expect.isTrue (root.Descendants() |> Seq.forall (fun e -> e.Name.LocalName <> "script")) "script"
              Chart.png 300 200 named |> ignore
          }

          for name, curves in
              [ "no curve", []
                "an empty curve", [ { Name = "x"; Points = [] } ]
                "one point", [ { Name = "x"; Points = [ 1.0, 0.5 ] } ]
                "no finite point", [ { Name = "x"; Points = [ 1.0, nan; nan, 1.0; 2.0, -infinity ] } ]
                "a huge range", [ { Name = "x"; Points = [ 1.0, 1e308; 2.0, -1e308; 3.0, 1e99; 4.0, -1e99 ] } ]
                "twenty curves", [ for i in 1..20 -> { Name = $"x{i}"; Points = [ 1.0, float i; 2.0, 0.0 ] } ] ] do
              test $"{name} can be drawn" {
                  let drawn = { chart with Curves = curves }
                  XElement.Parse(Chart.svg 900 500 drawn) |> ignore
                  use bitmap = SKBitmap.Decode(Chart.png 1200 700 drawn)
                  Expect.equal bitmap.Width 1200 "width"
              } ]
