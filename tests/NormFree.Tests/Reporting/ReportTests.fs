module NormFree.Tests.Reporting.ReportTests

open System.IO
open System.Text.RegularExpressions
open Expecto
open NormFree.Data
open NormFree.Reporting
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Reporting
open NormFree.Tests.Reporting.ReportSupport

let tests =
    testList
        "report"
        [ test "a page shows headline, verdict, curves, epochs and configuration" {
              let html = page "Three norms" (ofLogs Samples.three)

              Expect.isFalse
                  (Regex.IsMatch(Regex.Replace(html, "xmlns(:\\w+)?=\"[^\"]*\"", ""), "https?://"))
                  "no address at all"

              for part in
                  [ "<h1>Three norms</h1>"
                    "bn-free is clearly above"
                    "88.68 %"
                    "Differences between the runs"
                    "reactnet-18"
                    "16 cores"
                    "activations+weights"
                    "finished" ] do
                  Expect.stringContains html part part

              Expect.equal (Regex.Matches(html, "<svg").Count) 6 "three charts, each for two widths"
              Expect.equal (Regex.Matches(html, "<td>cifar10</td>").Count) 1 "a common key once"
          }

          test "everything from a run is escaped" {
              let run = Samples.run hostile 2 0.5

              let run =
                  { run with
                      Name = hostile
                      Arguments = [ hostile ]
                      Configuration = [ hostile, hostile; "environment." + hostile, hostile ]
                      Epochs = run.Epochs |> List.map (fun epoch -> { epoch with Stage = hostile }) }

              let confusion = Samples.confusion 3

              let full =
                  { Samples.full run with
                      Confusion =
                          Ok
                              { confusion with
                                  Stage = hostile
                                  Classes = confusion.Classes |> List.map (fun c -> { c with Name = hostile })
                                  Mistakes = confusion.Mistakes |> List.map (fun m -> { m with Name = hostile }) }
                      Deployment = Error hostile }

              let html = page hostile [ full; full ]
              Report.markdown "x" hostile [ full ] |> ignore

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
                  page "x" (ofLogs runs) |> ignore
                  page "x" (runs |> List.map Samples.full) |> ignore
                  Report.markdown "x" "x" (runs |> List.map Samples.full) |> ignore
              }

          test "a NaN loss is shown" {
              let run = Samples.run "none" 3 0.5

              let lost =
                  { run with
                      Epochs =
                          run.Epochs |> List.map (fun epoch -> { epoch with Train = { epoch.Train with Loss = nan } }) }

              Expect.stringContains (page "x" (ofLogs [ lost ])) ">NaN</td>" "NaN"
          }

          test "HTML and Markdown are written, and all linked pictures exist" {
              inFolder (fun folder ->
                  let at name = Path.Combine(folder, name)
                  let runs = Samples.three |> List.map Samples.full
                  Report.write (at "page.html") "Three norms" runs
                  Report.writeMarkdown (at "page one.md") "Three norms" runs
                  Expect.equal (File.ReadAllText(at "page.html")) (Report.html "Three norms" runs) "page"
                  let markdown = File.ReadAllText(at "page one.md")
                  Expect.stringContains markdown "(<page%20one.png>)" "the first picture has the page's name"
                  Expect.stringContains markdown "bn-free is clearly above" "verdict"

                  let linked =
                      [ for link in Regex.Matches(markdown, "!\\[[^\\n]*\\]\\(<(.*?)>\\)") do
                            System.Uri.UnescapeDataString link.Groups[1].Value ]

                  Expect.isGreaterThan linked.Length 10 "pictures"

                  Expect.sequenceEqual
                      (Directory.GetFiles folder |> Array.map (Path.GetFileName >> string) |> Array.sort)
                      ([ "page one.md"; "page.html" ] @ linked |> List.toArray |> Array.sort)
                      "every link has its file, and there are no other files")
          }

          test "characters that reverse the text after them are escaped on pages and in Markdown" {
              let full = Samples.full (Samples.run "bn-free" 3 0.9)
              let confusion = Samples.confusion 3
              let classes = confusion.Classes |> List.map (fun c -> { c with Name = "\u202egnp.exe" })
              let run = { full with Confusion = Ok { confusion with Classes = classes } }
              let markdown = Report.markdown "x" "x" [ run ]

              for text in [ page "x" [ run ]; markdown ] do
                  Expect.isFalse (text.Contains '\u202e') "the character"
                  Expect.stringContains text "u202egnp.exe" "its escape"
          }

          test "Markdown tables keep their columns for any label" {
              let markdown =
                  Report.markdown "x" hostile [ Samples.full { Samples.run hostile 2 0.5 with Name = "two\nlines" } ]

              let unescaped = Regex.Replace(markdown, "\\\\.", "")
              Expect.isFalse (Regex.IsMatch(unescaped, "<script")) "no markup"

              for table in Regex.Matches(unescaped, "(^\\|.*\\|$\\n?)+", RegexOptions.Multiline) do
                  let widths =
                      table.Value.TrimEnd().Split('\n')
                      |> Array.map (fun row -> row |> Seq.filter ((=) '|') |> Seq.length)

                  Expect.hasLength (Array.distinct widths) 1 table.Value
          }

          test "a complete run shows telemetry, mistakes and costs" {
              let html = page "x" [ Samples.full (Samples.run "bn-free" 3 0.9) ]

              for part in
                  [ "Signal propagation: variance"
                    "Signal propagation: mean²"
                    "Transition to binary weights"
                    "change of means²"
                    "Input of shortcut convolutions: mean²"
                    "Weight flips"
                    "Activation flips"
                    "Clipped filters"
                    "Dead channels"
                    "Share of +1 by channel"
                    "gradient window"
                    "expected"
                    "layer4.3"
                    "class2 predicted as class3"
                    "data:image/png;base64,"
                    "1.51 MB"
                    "The latency was not measured." ] do
                  Expect.stringContains html (part.Replace("²", "&#178;")) part
          }

          test "the matrix has a row and a column for each class, and its counts" {
              let confusion = Samples.confusion 10
              let run = { Samples.full (Samples.run "bn-free" 2 0.9) with Confusion = Ok confusion }
              let matrix = page "x" [ run ] |> tables |> List.find (fun rows -> List.contains "class9" rows.Head)
              Expect.equal (List.tail matrix |> List.map List.head) [ for i in 0..9 -> $"class{i}" ] "rows"

              for i, row in matrix |> List.tail |> List.indexed do
                  Expect.equal row[1 + i] (string confusion.Classes[i].Right) "correct"
                  let pair = confusion.Pairs |> List.find (fun pair -> pair.Truth = i)
                  Expect.equal row[1 + pair.Guess] (string pair.Count) "confused"
          }

          test "a thousand classes show their most frequent confusions instead of a matrix, on a page of bounded size" {
              let run = { Samples.full (Samples.run "bn-free" 2 0.9) with Confusion = Ok(Samples.confusion 1000) }
              let html = page "x" [ run ]
              Expect.stringContains html "too many for a matrix" "said"
              Expect.isFalse (html.Contains "class=\"matrix\"") "no matrix"
              Expect.isLessThan html.Length 1_500_000 "bytes"
          }

          test "a long run's charts stay small" {
              let run = { Samples.run "bn-free" 400 0.9 with Configuration = [] }
              let html = page "x" [ { Samples.full run with Telemetry = Ok(Samples.telemetry 3 run) } ]
              Expect.stringContains html "Weight flips" "drawn"
              Expect.isLessThan html.Length 1_500_000 "bytes"
          }

          test "missing parts are named with the reason" {
              let run = Samples.run "bn-free" 2 0.9
              let html = page "x" [ { ReportedRun.ofLog run with Deployment = Error "it has no stage 2 yet" } ]

              for part in
                  [ "No telemetry for bn-free: the report has only its log."
                    "No confusion matrix for bn-free: the report has only its log."
                    "No deployment cost for bn-free: it has no stage 2 yet." ] do
                  Expect.stringContains html part part
          }

          yield! ReportTableTests.tests ]
