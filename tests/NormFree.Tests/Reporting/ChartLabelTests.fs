/// Labels of stages, titles, numbers at axes, and horizontal lines of charts.
module NormFree.Tests.Reporting.ChartLabelTests

open System.Xml.Linq
open Expecto
open NormFree.Reporting
open NormFree.Tests.Reporting.ChartSupport

/// The boundaries of runs whose stages have these numbers of epochs.
let private stagesOf (runs: (int * int) list) =
    [ for first, _ in runs do
          { At = 0.5; Label = "activations" }
          { At = float first + 0.5; Label = "activations+weights" } ]
    |> List.distinct

let tests =
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
                      Expect.isLessThanOrEqual label.Right (clippedRight svg) "not clipped"

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
                      Expect.isLessThanOrEqual label.Right (clippedRight svg) "not clipped"

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
