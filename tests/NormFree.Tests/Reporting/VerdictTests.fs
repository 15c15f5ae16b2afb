module NormFree.Tests.Reporting.VerdictTests

open Expecto
open NormFree.Reporting
open NormFree.Tests.Reporting

let private pair bnFree noNorm images =
    [ Samples.run "bn-free" 3 0.9 |> Samples.endingAt bnFree images
      Samples.run "none" 3 0.9 |> Samples.endingAt noNorm images ]

let private sentence runs =
    match Report.verdicts runs with
    | [ verdict ] -> Verdict.sentence verdict
    | verdicts -> failtest $"{verdicts.Length} verdicts"

/// Runs of a norm that end at these accuracies, with seeds from this one on.
let private seedsFrom first norm shares =
    shares
    |> List.mapi (fun i share ->
        let run = Samples.run norm 3 0.9 |> Samples.endingAt share 10_000

        { run with
            Name = $"{norm}-{i}"
            Label = $"{norm}, seed {i + 1}"
            Configuration = ("activations: seed", string (first + i)) :: run.Configuration })

let private seeds norm shares = seedsFrom 1 norm shares

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

          test "below is written as less" {
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
                "needs one of each",
                pair 0.9 0.5 100
                @ [ { Samples.run "bn-free" 3 0.9 with Configuration = [ "norm", "bn-free"; "alpha", "0.3" ] } ]
                "one has 1 seed and the other has 2", seeds "bn-free" [ 0.9; 0.91 ] @ seeds "none" [ 0.5 ] ] do
              test $"undecided: {why}" {
                  let text = sentence runs
                  Expect.stringStarts text "bn-free is NOT shown to be" "words"
                  Expect.stringContains text why "reason"
              }

          test "runs without a twin have no verdict" {
              Expect.isEmpty (Report.verdicts []) "none"
              Expect.isEmpty (Report.verdicts [ Samples.run "bn-free" 3 0.9; Samples.run "bn" 3 0.9 ]) "one"
          }

          test "a label may say more than the norm" {
              let labelled =
                  pair 0.9 0.5 1_000
                  |> List.map (fun run -> { run with Label = $"ReActNet-18, {run.Label} (seed 1)" })

              Expect.stringStarts (sentence labelled) "bn-free is clearly above" "words"
          }

          // The same values as in the statistics tests.
          test "over different seeds, the interval is Welch's" {
              let text = sentence (seeds "bn-free" [ 0.80; 0.81; 0.82 ] @ seedsFrom 11 "none" [ 0.70; 0.71; 0.73 ])
              Expect.stringContains text "(Welch's 95 % interval of the difference: 6.55 to 12.79 points)" "interval"
              Expect.stringStarts text "bn-free is clearly above" "words"
              Expect.stringContains text "81.00 % against 71.33 %" "means"
              Expect.stringContains text "over 3 and 3 seeds with standard deviations of 1.00 and 1.53 points" "spread"
              Expect.stringContains text "9.67 points more" "difference"
          }

          test "over the same seeds, differences are paired" {
              // Differences of 1.0, 1.2 and 1.4 points: 1.2 ± 4.303 · 0.2 / √3. Welch's interval would hold 0.
              let bnFree, batchNorm = [ 0.60; 0.662; 0.714 ], [ 0.59; 0.65; 0.70 ]
              let text = sentence (seeds "bn-free" bnFree @ seeds "batch-norm" batchNorm)
              Expect.stringStarts text "bn-free is above its batch-norm twin: " "words"

              Expect.stringContains
                  text
                  "(95 % interval of the difference, paired by seed: 0.70 to 1.70 points)"
                  "interval"

              let unpaired = sentence (seeds "bn-free" bnFree @ seedsFrom 7 "batch-norm" batchNorm)
              Expect.stringStarts unpaired "bn-free and its batch-norm twin do not differ significantly" "without pairs"
          }

          for bnFree, batchNorm, words in
              [ [ 0.80; 0.81; 0.82 ], [ 0.78; 0.785; 0.79 ], "bn-free is above its batch-norm twin: "
                [ 0.78; 0.785; 0.79 ], [ 0.80; 0.81; 0.82 ], "bn-free is below its batch-norm twin: "
                [ 0.78; 0.81; 0.84 ],
                [ 0.77; 0.80; 0.82 ],
                "bn-free and its batch-norm twin do not differ significantly: "
                [ 0.9 ], [ 0.8 ], "bn-free is above its batch-norm twin: "
                [ 0.805 ], [ 0.8 ], "bn-free and its batch-norm twin do not differ significantly: " ] do
              test $"{bnFree} against {batchNorm}: {words}" {
                  let text = sentence (seeds "bn-free" bnFree @ seeds "batch-norm" batchNorm)
                  Expect.stringStarts text words "words"

                  Expect.equal
                      (text.Contains "One run each cannot show the spread over seeds.")
                      (bnFree.Length = 1)
                      "the limit of one run each"
              }

          test "with both twins there are two verdicts, that without normalisation first" {
              let runs = seeds "bn-free" [ 0.9 ] @ seeds "batch-norm" [ 0.8 ] @ seeds "none" [ 0.5 ]
              let sentences = Report.verdicts runs |> List.map Verdict.sentence
              Expect.hasLength sentences 2 "two"
              Expect.stringContains sentences[0] "without normalisation" "first"
              Expect.stringContains sentences[1] "batch-norm" "second"
          } ]
