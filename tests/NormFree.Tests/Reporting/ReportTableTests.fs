/// Tables, charts and cautions of reports.
module NormFree.Tests.Reporting.ReportTableTests

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
    [ test "held-out accuracy has a column if there is any" {
          let run = Samples.run "bn" 2 0.5

          let held =
              { run with
                  Epochs = run.Epochs |> List.map (fun epoch -> { epoch with HeldOut = Some(Samples.accuracy 0.123) }) }

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
                  [ "augmentation", Json.write [ PadCrop 4; Flip; RandomResizedCrop(0.08, 1.0, 224) ]
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
                  "pad by 4 pixels and crop at random; flip left to right at random; crop 8 to 100 % of the area at random and resize it to 224×224"
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
                [ Resize 32; CustomAugment "mine" ]
                [ ReflectPadCrop 4; RandAugment(2, 9); Mixup 0.2; CutMix 1.0 ] ] do
              let words = Wording.ofSetting (Json.write steps)
              Expect.equal words (steps |> List.map Augment.describe |> String.concat "; ") "the words of the steps"

              for mark in [ "{"; "["; "\""; "PadCrop"; "CentreCrop"; "Resized"; "Lighting"; "CustomAugment" ] do
                  Expect.isFalse (words.Contains mark) $"{mark} in {words}"
      }

      test "accuracy has a line at chance if all runs have the same number of classes" {
          let run label classes =
              { Samples.run label 20 0.9 with Configuration = [ "classes", classes; "norm", label ] }

          Expect.stringContains (page "x" (ofLogs [ run "bn-free" "10"; run "none" "10" ])) ">chance, 10 %<" "ten"
          Expect.stringContains (page "x" (ofLogs [ run "bn-free" "10" ])) "Guessing reaches 10" "in words"

          Expect.isFalse ((page "x" (ofLogs [ run "bn-free" "10"; run "none" "5" ])).Contains "chance, ") "different"

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
      }

      test "stages of runs of different length are labelled with the runs, and all stages are labelled" {
          let texts html = [ for found in Regex.Matches(html, ">([^<>]*)</text>") -> found.Groups[1].Value ]
          let both = page "x" (ofLogs [ Samples.run "bn-free" 2 0.9; Samples.run "none" 7 0.8 ]) |> texts

          for label in [ "activations"; "activations+weights: bn-free"; "activations+weights: none" ] do
              Expect.contains both label label

          let same = page "x" (ofLogs [ Samples.run "bn-free" 4 0.9; Samples.run "none" 4 0.8 ]) |> texts
          Expect.contains same "activations+weights" "no names if all runs change at the same epoch"
          let run = Samples.run "bn-free" 4 0.9
          let second = { run with Epochs = run.Epochs |> List.filter (fun epoch -> epoch.Stage <> "activations") }
          Expect.contains (page "x" (ofLogs [ second ]) |> texts) "activations+weights" "a single stage"
      }

      test "a group whose last seed has no epoch yet has a curve, and says so" {
          let seed number =
              { Samples.run "bn-free" 3 0.8 with
                  Name = $"s{number}"
                  Label = $"bn-free, seed {number}"
                  Configuration = [ "activations: seed", string number ] }

          let waiting = { seed 3 with Epochs = []; Finished = false }
          let runs = [ seed 1; seed 2; waiting ]
          let chart = RunCharts.accuracyChart (RunGroup.ofRuns runs)
          let drawn = chart.Curves.Head.Points |> List.filter (snd >> System.Double.IsFinite)
          Expect.hasLength drawn 6 "epochs of both stages"

          Expect.stringContains
              (page "x" (ofLogs runs))
              "of s1: epoch 3 of 3, activations+weights; not all 3 seeds"
              "said"
      }

      test "a chart whose axis does not reach chance says so" {
          let run = { Samples.run "bn-free" 20 0.9 with Configuration = [ "classes", "10" ] }
          let late = { run with Epochs = run.Epochs |> List.filter (fun epoch -> epoch.Test.Top1 > 0.7) }
          Expect.stringContains (page "x" (ofLogs [ late ])) "Guessing reaches 10&#160;%, below this axis." "below"
          Expect.stringContains (page "x" (ofLogs [ run ])) "Guessing reaches 10&#160;%." "on the axis"
      } ]
