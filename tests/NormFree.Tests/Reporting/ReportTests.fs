module NormFree.Tests.Reporting.ReportTests

open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open Expecto
open NormFree.Data
open NormFree.Reporting
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Reporting

let private hostile = "<script src=\"http://example.org/x.js\">alert('&')</script>|`*_\000"

let private ofLogs = List.map ReportedRun.ofLog

/// Writes a page and checks what holds for every page.
let private page title (runs: ReportedRun list) =
    let html = Report.html title runs
    let withoutNamespaces = Regex.Replace(html, "xmlns(:\\w+)?=\"[^\"]*\"", "")

    Expect.isFalse
        (Regex.IsMatch(withoutNamespaces, "<\\w[^<>]*(src|href)\\s*=\\s*[\"']?\\s*(https?:)?//"))
        "no reference to a network"

    Expect.isFalse (Regex.IsMatch(html, "<script", RegexOptions.IgnoreCase)) "no script"
    Expect.isFalse (Regex.IsMatch(html, "url\\((?!#)|@import")) "no style from elsewhere"
    let document = XDocument.Parse html
    let named name = document.Descendants() |> Seq.filter (fun e -> e.Name.LocalName = name)
    let attribute (name: string) (e: XElement) = e.Attribute name |> Option.ofObj |> Option.map _.Value
    let ids = document.Descendants() |> Seq.choose (attribute "id") |> Seq.toList
    Expect.hasLength (List.distinct ids) ids.Length "every id occurs once"

    for link in named "a" do
        Expect.contains (ids |> List.map (fun id -> Some("#" + id))) (attribute "href" link) "links lead somewhere"

    for svg in named "svg" do
        let parent = nonNull svg.Parent
        Expect.equal (attribute "role" parent) (Some "img") "a chart is one image for screen readers"

        Expect.isGreaterThan
            (attribute "aria-label" parent |> Option.defaultValue "").Length
            20
            "it has a text alternative"

    for image in named "img" do
        Expect.isNotEmpty (attribute "alt" image |> Option.defaultValue "") "a picture has a text alternative"

    for cell in named "th" do
        Expect.isSome (attribute "scope" cell) "a heading has a scope"

    html

/// The tables of a page, each as rows of cells.
let private tables (html: string) =
    let texts (name: string) (row: XElement) =
        [ for cell in row.Elements() do
              if cell.Name.LocalName = name then
                  cell.Value ]

    [ for table in XDocument.Parse(html).Descendants() do
          if table.Name.LocalName = "table" then
              [ for row in table.Descendants() do
                    if row.Name.LocalName = "tr" then
                        texts "th" row @ texts "td" row ] ]

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

          test "held-out accuracy has a column if there is any" {
              let run = Samples.run "bn" 2 0.5

              let held =
                  { run with
                      Epochs =
                          run.Epochs |> List.map (fun epoch -> { epoch with HeldOut = Some(Samples.accuracy 0.123) }) }

              Expect.stringContains (page "x" (ofLogs [ held ])) "12.30 %" "shown"
              Expect.isFalse ((page "x" (ofLogs [ run ])).Contains "held-out") "not otherwise"
          }
          test "the numbers of the tables are those of the log" {
              let run = Samples.run "bn-free" 3 0.9
              let found = page "x" [ Samples.full run ] |> tables
              let table column = found |> List.find (fun rows -> List.contains column rows.Head)
              let percent share = $"{100.0 * share:f2} %%"

              Expect.equal
                  (table "train loss" |> List.tail |> List.map (fun row -> row[1], row[3], row[6]))
                  [ for epoch in run.Epochs -> string epoch.Epoch, $"{epoch.Train.Loss:f4}", percent epoch.Test.Top1 ]
                  "epochs"

              let last =
                  [ for _, epochs, _ in run.Stages -> (List.last epochs).Stage, percent (List.last epochs).Test.Top1 ]

              Expect.equal (table "top-1 last" |> List.tail |> List.map (fun row -> row[1], row[2])) last "headline"
          }

          test "settings are in words, and a run without a stage does not differ in its settings" {
              let run label settings = { Samples.run label 2 0.5 with Configuration = settings }

              let one =
                  run
                      "bn-free"
                      [ "augmentation", """[{"PadCrop":4},"Flip",{"RandomResizedCrop":[0.08,1,224]}]"""
                        "activations: clipping", """{"Agc":0.02}"""
                        "activations: epochs", "4" ]

              let two =
                  run
                      "none"
                      [ "augmentation", "none"
                        "activations+weights: clipping", """{"Agc":0.02}"""
                        "activations+weights: epochs", "4" ]

              let found = page "x" (ofLogs [ one; two ]) |> tables
              let differing = found |> List.find (fun rows -> rows.Head.Head = "key" && rows.Head.Length = 3)
              let common = found |> List.find (fun rows -> rows.Head = [ "key"; "value" ])

              Expect.equal
                  differing.Tail
                  [ [ "augmentation"
                      "pad by 4 pixels and crop at random; flip left to right at random; crop 8 to 100 % of the area at random and resize it to 224 pixels"
                      "none" ] ]
                  "differences"

              for row in [ [ "activations: clipping"; "AGC, λ = 0.02" ]; [ "activations+weights: epochs"; "4" ] ] do
                  Expect.contains common row "common"
          }

          test "every step of augmentation has words" {
              for steps in
                  [ [ PadCrop 4; Flip ]
                    [ RandomResizedCrop(0.08, 1.0, 224); Lighting(0.1, LightingMode.Corrected) ]
                    [ ResizeShort 256; CentreCrop 224 ]
                    [ Resize 32; CustomAugment "mine" ] ] do
                  let words = Wording.ofSetting (Json.write steps)

                  for mark in [ "{"; "["; "\""; "PadCrop"; "CentreCrop"; "Resized"; "Lighting"; "CustomAugment" ] do
                      Expect.isFalse (words.Contains mark) $"{mark} in {words}"
          }

          test "accuracy has a line at chance if all runs have the same number of classes" {
              let run label classes =
                  { Samples.run label 20 0.9 with Configuration = [ "classes", classes; "norm", label ] }

              Expect.stringContains (page "x" (ofLogs [ run "bn-free" "10"; run "none" "10" ])) ">chance, 10 %<" "ten"
              Expect.stringContains (page "x" (ofLogs [ run "bn-free" "10" ])) "Guessing reaches 10" "in words"

              Expect.isFalse
                  ((page "x" (ofLogs [ run "bn-free" "10"; run "none" "5" ])).Contains "chance, ")
                  "different"

              Expect.isFalse ((page "x" (ofLogs [ run "bn-free" "many" ])).Contains "chance, ") "unknown"
          }

          test "top-5 is omitted for fewer than 6 classes, and the images that chose the best epoch are named" {
              let run = { Samples.run "bn-free" 3 0.9 with Configuration = [ "classes", "5" ] }

              let heldOut =
                  { run with Epochs = run.Epochs |> List.map (fun epoch -> { epoch with HeldOut = Some epoch.Test }) }

              Expect.isFalse ((page "x" (ofLogs [ run ])).Contains "top-5") "five classes"

              Expect.stringContains
                  (page "x" (ofLogs [ { run with Configuration = [ "classes", "6" ] } ]))
                  "top-5 last"
                  "six classes"

              for run, images in [ run, "test images"; heldOut, "held-out images" ] do
                  let rows =
                      page "x" (ofLogs [ run ])
                      |> tables
                      |> List.find (fun rows -> List.contains "best chosen on" rows.Head)

                  let column = rows.Head |> List.findIndex ((=) "best chosen on")
                  Expect.all rows.Tail (fun row -> row[column] = images) images
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

          test "runs that differ only in their seeds share one curve, their mean, and one row" {
              let seed number final =
                  { Samples.run "bn-free" 3 final with
                      Name = $"s{number}"
                      Label = $"bn-free, seed {number}"
                      Configuration = [ "activations: seed", string number ] }

              let html = page "x" (ofLogs [ seed 1 0.8; seed 2 0.9 ])
              Expect.stringContains html "one standard deviation to either side" "band"
              let top1 run = (List.last (run: RunLog).Epochs).Test.Top1
              let mean = (top1 (seed 1 0.8) + top1 (seed 2 0.9)) / 2.0
              let row = tables html |> List.find (fun rows -> List.contains "seeds" rows.Head) |> List.last
              Expect.equal (row[0], row[2], row[3]) ("bn-free", "2", $"{100.0 * mean:f2} %%") "row"
          }

          test "a page warns of different test sets, of single seeds, and of epochs chosen on the test set" {
              let cautions (runs: RunLog list) = Cautions.ofGroups (RunGroup.ofRuns runs)
              let run label = Samples.run label 3 0.9

              let heldOut (run: RunLog) =
                  { run with Epochs = run.Epochs |> List.map (fun epoch -> { epoch with HeldOut = Some epoch.Test }) }

              let seed number (run: RunLog) =
                  { run with
                      Label = $"{run.Label}, seed {number}"
                      Configuration = ("activations: seed", string number) :: run.Configuration }

              let sure =
                  [ for label in [ "bn-free"; "none" ] do
                        for n in 1..2 -> run label |> heldOut |> seed n ]

              Expect.isEmpty (cautions sure) "two seeds, one test set, epochs chosen on held-out images"
              Expect.isEmpty (cautions [ heldOut (run "bn-free") ]) "a single run is no comparison"
              Expect.isEmpty (cautions []) "no runs"

              match cautions [ run "bn-free"; run "none" |> Samples.endingAt 0.5 1000 ] with
              | [ sets; seeds; chosen ] ->
                  Expect.stringContains sets "different test sets" "sets"
                  Expect.stringContains sets "none: cifar10, 1000 test images" "what differs"
                  Expect.stringContains seeds "One seed" "seeds"
                  Expect.stringContains seeds "bn-free, none" "whose"
                  Expect.stringContains chosen "chosen on the test set" "chosen"
              | others -> failtest $"{others}"

              let html = page "x" (ofLogs [ run "bn-free"; run "none" ])
              Expect.stringContains html "<strong>Caution:</strong> One seed cannot show" "on the page"

              Expect.stringContains
                  (Report.markdown "x" "x" (ofLogs [ run "bn-free" ]))
                  "**Caution:** The best epoch"
                  "in Markdown"
          } ]
