/// A chart, and the texts and lines of its SVG.
module NormFree.Tests.Reporting.ChartSupport

open System
open System.Xml.Linq
open NormFree.Reporting

let chart =
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

let numbers (text: string) =
    [ for m in System.Text.RegularExpressions.Regex.Matches(text, @"-?\d+(\.\d+)?") ->
          Double.Parse(m.Value, Globalization.CultureInfo.InvariantCulture) ]

/// A text of an SVG with its box: left, top, right and bottom.
type Box = { Text: string; Left: float; Top: float; Right: float; Bottom: float }

/// The horizontal texts of an SVG.
let boxes (svg: XElement) =
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

/// The right edge of the curves' area: annotations and curves are clipped to it.
let clippedRight (svg: XElement) =
    [ for e in svg.Descendants() do
          if e.Name.LocalName = "clipPath" then
              for rect in e.Elements() do
                  match
                      [ "x"; "width" ] |> List.map (fun name -> rect.Attribute name |> Option.ofObj |> Option.map float)
                  with
                  | [ Some x; Some width ] when x > 0.0 -> x + width
                  | _ -> () ]
    |> List.max

let overlap a b = a.Left < b.Right && b.Left < a.Right && a.Top < b.Bottom && b.Top < a.Bottom

/// The points of the longest line of an SVG, which is a curve.
let curvePoints (svg: XElement) =
    [ for e in svg.Descendants() do
          if e.Name.LocalName = "polyline" then
              match e.Attribute "points" with
              | null -> ()
              | points -> numbers points.Value |> List.chunkBySize 2 ]
    |> List.maxBy List.length

/// The vertical lines of an SVG: x, top and bottom.
let verticals (svg: XElement) =
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
