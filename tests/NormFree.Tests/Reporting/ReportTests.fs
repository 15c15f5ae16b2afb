module NormFree.Tests.Reporting.ReportTests

open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open Expecto
open NormFree.Reporting
open NormFree.Training
open NormFree.Tests.Reporting

let private hostile = "<script src=\"http://example.org/x.js\">alert('&')</script>|`*_\000"

/// What every page must be, whatever it reports on.
let private page title runs =
    let html = Report.html title runs
    let withoutNamespaces = Regex.Replace(html, "xmlns(:\\w+)?=\"[^\"]*\"", "")

    Expect.isFalse
        (Regex.IsMatch(withoutNamespaces, "<\\w[^<>]*(src|href)\\s*=\\s*[\"']?\\s*(https?:)?//"))
        "no reference to a network"

    Expect.isFalse (Regex.IsMatch(html, "<script", RegexOptions.IgnoreCase)) "no script"
    Expect.isFalse (Regex.IsMatch(html, "url\\((?!#)|@import")) "no style from elsewhere"

    for svg in Regex.Matches(html, "<svg.*?</svg>", RegexOptions.Singleline) do
        XElement.Parse svg.Value |> ignore

    let ids = [ for id in Regex.Matches(html, " id=\"([^\"]*)\"") -> id.Groups[1].Value ]
    Expect.hasLength (List.distinct ids) ids.Length "every id occurs once"

    for element in [ "table"; "tr"; "td"; "th"; "details"; "div"; "figure"; "p"; "h2" ] do
        let opened = Regex.Matches(html, $"<{element}[ >]").Count
        Expect.equal (Regex.Matches(html, $"</{element}>").Count) opened $"every {element} is closed"

    html

let private inFolder action =
    let folder = Directory.CreateTempSubdirectory "normfree-"

    try
        action folder.FullName
    finally
        folder.Delete true

let tests =
    testList
        "report"
        [ test "a page shows headline, verdict, curves, epochs and configuration" {
              let html = page "Three norms" Samples.three

              Expect.isFalse
                  (Regex.IsMatch(Regex.Replace(html, "xmlns(:\\w+)?=\"[^\"]*\"", ""), "https?://"))
                  "no address at all"

              for part in
                  [ "<h1>Three norms</h1>"
                    "bn-free is clearly above"
                    "88.68 %"
                    "What differs between the runs"
                    "reactnet-18"
                    "16 cores"
                    "activations+weights"
                    "finished" ] do
                  Expect.stringContains html part part

              Expect.equal (Regex.Matches(html, "<svg").Count) 6 "three charts, each for two widths"
              Expect.equal (Regex.Matches(html, "<td>cifar10</td>").Count) 1 "a common key once"
          }

          test "everything that comes from a run is text" {
              let run = Samples.run hostile 2 0.5

              let html =
                  page
                      hostile
                      [ { run with
                            Name = hostile
                            Configuration = [ hostile, hostile; "environment." + hostile, hostile ]
                            Epochs = run.Epochs |> List.map (fun epoch -> { epoch with Stage = hostile }) } ]

              Expect.stringContains html "&lt;script src=&quot;http://example.org/x.js&quot;&gt;" "escaped"
              Expect.isFalse (html.Contains '\000') "no control characters"
          }

          for name, runs in
              [ "no runs", []
                "a run without epochs", [ { Samples.run "bn" 1 0.5 with Epochs = []; Finished = false } ]
                "a run without a configuration", [ { Samples.run "bn" 1 0.5 with Configuration = [] } ]
                "two runs of one label", [ Samples.run "bn" 2 0.5; { Samples.run "bn" 3 0.6 with Name = "other" } ]
                "runs of different length",
                [ Samples.run "bn" 2 0.5
                  Samples.run "bn-free" 30 0.6
                  { Samples.run "none" 5 0.1 with Finished = false } ]
                "a run that diverged",
                [ let run = Samples.run "none" 3 0.5
                  let lost = { Loss = nan; Top1 = nan; Top5 = nan; Images = 10_000 }

                  { run with
                      Epochs =
                          run.Epochs
                          |> List.map (fun epoch ->
                              { epoch with
                                  Train = lost
                                  Test = lost
                                  HeldOut = Some lost
                                  Clipped = nan
                                  LearningRate = infinity
                                  Seconds = nan }) } ] ] do
              test $"{name} can be reported" {
                  page "x" runs |> ignore
                  Report.markdown "x.png" "x" runs |> ignore
              }

          test "a lost loss is shown as such" {
              let run = Samples.run "none" 3 0.5

              let html =
                  page
                      "x"
                      [ { run with
                            Epochs =
                                run.Epochs
                                |> List.map (fun epoch -> { epoch with Train = { epoch.Train with Loss = nan } }) } ]

              Expect.stringContains html "<td>NaN</td>" "NaN"
          }

          test "files are written whole, and Markdown names its chart" {
              inFolder (fun folder ->
                  let at name = Path.Combine(folder, name)
                  Report.write (at "page.html") "Three norms" Samples.three
                  Report.writeMarkdown (at "page one.md") "Three norms" Samples.three

                  Expect.sequenceEqual
                      (Directory.GetFiles folder |> Array.map Path.GetFileName |> Array.sort)
                      [ "page one.md"; "page one.png"; "page.html" ]
                      "files, and nothing beside them"

                  Expect.equal (File.ReadAllText(at "page.html")) (Report.html "Three norms" Samples.three) "page"
                  let markdown = File.ReadAllText(at "page one.md")
                  Expect.stringContains markdown "(<page%20one.png>)" "chart"
                  Expect.stringContains markdown "bn-free is clearly above" "verdict")
          }

          test "Markdown's tables keep their columns, whatever a label holds" {
              let markdown =
                  Report.markdown "x.png" hostile [ { Samples.run hostile 2 0.5 with Name = "two\nlines" } ]

              let unescaped = Regex.Replace(markdown, "\\\\.", "")
              Expect.isFalse (Regex.IsMatch(unescaped, "<script")) "no markup"

              for table in Regex.Matches(unescaped, "(^\\|.*\\|$\\n?)+", RegexOptions.Multiline) do
                  let widths =
                      table.Value.TrimEnd().Split('\n')
                      |> Array.map (fun row -> row |> Seq.filter ((=) '|') |> Seq.length)

                  Expect.hasLength (Array.distinct widths) 1 table.Value
          }

          test "held-out accuracy has a column where there is one" {
              let run = Samples.run "bn" 2 0.5

              let held =
                  { run with
                      Epochs =
                          run.Epochs |> List.map (fun epoch -> { epoch with HeldOut = Some(Samples.accuracy 0.123) }) }

              Expect.stringContains (page "x" [ held ]) "12.30 %" "shown"
              Expect.isFalse ((page "x" [ run ]).Contains "held-out") "not otherwise"
          } ]
