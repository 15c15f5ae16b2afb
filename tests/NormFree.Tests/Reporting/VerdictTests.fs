module NormFree.Tests.Reporting.VerdictTests

open Expecto
open NormFree.Reporting
open NormFree.Tests.Reporting

let private pair bnFree noNorm images =
    [ Samples.run "bn-free" 3 0.9 |> Samples.endingAt bnFree images
      Samples.run "none" 3 0.9 |> Samples.endingAt noNorm images ]

let private sentence runs =
    match Report.verdict runs with
    | Some verdict -> Verdict.sentence verdict
    | None -> failtest "no verdict"

let tests =
    testList
        "verdict"
        [ test "far above is clearly above" {
              let text = sentence (pair 0.912 0.801 10_000)
              Expect.stringStarts text "bn-free is clearly above" "words"

              Expect.stringContains
                  text
                  "91.20 % against 80.10 % top-1 after the last epoch on 10000 test images, 11.10 points more"
                  "numbers"

              Expect.stringContains text "(standard error of the difference: 0.49 points)" "error"
          }

          for bnFree, noNorm, images, why in
              [ 0.85, 0.80, 10_000, "exactly five points, not more"
                0.80, 0.80, 10_000, "the same"
                0.60, 0.80, 10_000, "below"
                0.60, 0.50, 100, "ten points, 1.4 standard errors"
                0.5625, 0.5, 1_000, "six points, 2.8 standard errors" ] do
              test $"{why}: not clearly above" {
                  let text = sentence (pair bnFree noNorm images)
                  Expect.stringStarts text "bn-free is NOT clearly above" "words"
                  Expect.stringContains text "more than 5 points and more than 3 standard errors" "the rule"
              }

          test "below is said to be less" {
              Expect.stringContains (sentence (pair 0.6 0.8 10_000)) "20.00 points less" "words"
          }

          for why, runs in
              [ "is not finished", pair 0.9 0.5 100 |> List.map (fun run -> { run with Finished = run.Label <> "none" })
                "has no epoch yet", pair 0.9 0.5 100 |> List.map (fun run -> { run with Epochs = [] })
                "was not tested", pair nan 0.5 100
                "was not tested after", pair 0.9 0.5 0
                "different stages",
                pair 0.9 0.5 100
                |> List.map (fun run ->
                    { run with Epochs = List.truncate (if run.Label = "none" then 3 else 6) run.Epochs })
                "takes one of each", pair 0.9 0.5 100 @ pair 0.9 0.5 100 ] do
              test $"undecided where a run {why}" {
                  let text = sentence runs
                  Expect.stringStarts text "bn-free is NOT shown to be" "words"
                  Expect.stringContains text why "reason"
              }

          test "no such runs, no verdict" {
              Expect.isNone (Report.verdict []) "none"
              Expect.isNone (Report.verdict [ Samples.run "bn-free" 3 0.9; Samples.run "bn" 3 0.9 ]) "one"
          }

          test "a label may say more than the norm" {
              let labelled =
                  pair 0.9 0.5 1_000
                  |> List.map (fun run -> { run with Label = $"ReActNet-18, {run.Label} (seed 1)" })

              Expect.stringStarts (sentence labelled) "bn-free is clearly above" "words"
          } ]
