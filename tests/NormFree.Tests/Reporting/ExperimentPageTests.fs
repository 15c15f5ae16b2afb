module NormFree.Tests.Reporting.ExperimentPageTests

open System.IO
open Expecto
open NormFree.Reporting
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open NormFree.Tests.Data.Support

let private result label seed log : ExperimentResult =
    { Run =
        { Variant = Variant.twoStages label ReActNet.small Recipe.corrected
          Seed = seed
          Key = "0123456789abcdef"
          Folder = { Path = "runs/x" }
          SharedStage1 = None
          Work = []
          Memory = 0L }
      Log = log }

/// A sample run that ends at this accuracy.
let private ending top1 = Ok(Samples.run "sample" 3 0.6 |> Samples.endingAt top1 1000)

let private results =
    [ result "bn-free" 1L (ending 0.50)
      result "batch-norm" 1L (ending 0.60)
      result "bn-free" 2L (ending 0.54)
      result "batch-norm" 2L (ending 0.61)
      result "none" 1L (Error "the loss is | NaN") ]

let private page: ExperimentPage =
    { Title = "Norms"
      Question = "Which?"
      Command = "dotnet fsi experiments/norms.fsx data.zip"
      Notes = [ "A note." ]
      Comparisons = [ "bn-free", "batch-norm" ]
      Plot = ExperimentPage.overEpochs }

let private text = lazy (ExperimentPage.markdown "norms.png" page results)

let tests =
    testList
        "experiment pages"
        [ test "each stage of a variant has a row with mean, standard deviation and interval over seeds" {
              // √(((50 − 52)² + (54 − 52)²) / 1) = 2.83; the interval is 52 ± 12.706·2.83/√2.
              Expect.stringContains
                  text.Value
                  "| bn-free | activations+weights | 52.00 ± 2.83 % | 26.59 to 77.41 % | 2 | 3 | 4 min 15 s |"
                  "row"

              let rows = text.Value.Split '\n' |> Array.filter _.StartsWith("| b")
              Expect.equal rows.Length 4 "two stages of two variants"
          }

          test "a single seed has no spread" {
              let text = ExperimentPage.markdown "x.png" { page with Comparisons = [] } (List.take 2 results)
              Expect.stringContains text "| bn-free | activations+weights | 50.00 % |  | 1 |" "row"
          }

          for processors, device, sentence in
              [ 1, [], "EPYC, 1 processor, one thread per run; "
                16, [], "EPYC, 16 processors, one thread per run; "
                16, [ "environment.device", "cpu" ], "EPYC, 16 processors, one thread per run; "
                16, [ "environment.device", "cuda"; "environment.gpu", "H100" ], "cuda (H100), EPYC, 16 processors; "
                16, [ "environment.device", "cuda" ], "cuda (a GPU of unknown name), EPYC, 16 processors; " ] do
              test $"the processors, with {device.Length} settings: {sentence}" {
                  let machine = [ "environment.processor", "EPYC"; "environment.processors", string processors ]

                  let run = ending 0.5 |> Result.map (fun log -> { log with Configuration = machine @ device })
                  let text = ExperimentPage.markdown "x.png" { page with Comparisons = [] } [ result "a" 1L run ]
                  Expect.stringContains text $"\n{sentence}engine" "sentence"
              }

          test "a failed run is in the table, with its reason" {
              Expect.stringContains text.Value @"| none | failed | seed 1: the loss is \| NaN |" "row"
          }

          test "a difference is more than the spread only if its 95 % interval excludes 0" {
              // Standard deviation: √(2.83² + 0.71²) = 2.92.
              let paired = Statistics.paired [ 0.5, 0.6; 0.54, 0.61 ]

              Expect.equal
                  (ExperimentPage.comparison results ("bn-free", "batch-norm"))
                  $"bn-free against batch-norm: 52.00 ± 2.83 %% against 60.50 ± 0.71 %%, 8.50 points less, within the spread over seeds \
                   (combined standard deviation: 2.92 points; 95 %% interval of the difference, paired by seed: \
                   {100.0 * paired.Low:f2} to {100.0 * paired.High:f2} points)."
                  "far apart, but two seeds make a wide interval"

              Expect.isGreaterThan paired.High 0.0 "the interval holds 0"

              let otherSeeds =
                  [ for result in results ->
                        if result.Run.Variant.Label = "batch-norm" then
                            { result with Run = { result.Run with Seed = result.Run.Seed + 10L } }
                        else
                            result ]

              let welch = Statistics.welch (Statistics.sample [ 0.5; 0.54 ]) (Statistics.sample [ 0.6; 0.61 ])

              Expect.stringContains
                  (ExperimentPage.comparison otherSeeds ("bn-free", "batch-norm"))
                  $"Welch's 95 %% interval of the difference: {100.0 * welch.Low:f2} to {100.0 * welch.High:f2} points)."
                  "different seeds"

              for sign, a, b in [ "more", 0.6, 0.5; "less", 0.5, 0.6 ] do
                  let sure =
                      [ for seed, noise in [ 1L, 0.0; 2L, 0.001; 3L, 0.002 ] do
                            result "a" seed (ending (a + noise))
                            result "b" seed (ending (b + noise)) ]

                  Expect.stringContains
                      (ExperimentPage.comparison sure ("a", "b"))
                      $"10.00 points {sign}, more than the spread over seeds (combined standard deviation: 0.14 points"
                      "certain"

              let near =
                  [ result "a" 1L (ending 0.5)
                    result "a" 2L (ending 0.6)
                    result "b" 1L (ending 0.5)
                    result "b" 2L (ending 0.58) ]

              Expect.stringContains
                  (ExperimentPage.comparison near ("a", "b"))
                  "1.00 points more, within the spread"
                  "near"

              Expect.stringEnds
                  (ExperimentPage.comparison (List.take 2 results) ("bn-free", "batch-norm"))
                  "one seed cannot show whether this is chance."
                  "one"

              Expect.stringContains
                  (ExperimentPage.comparison results ("bn-free", "none"))
                  "cannot be compared"
                  "failed"
          }

          test "question, command, notes and plot are there" {
              for part in
                  [ "# Norms"; "Which?"; "dotnet fsi experiments/norms.fsx data.zip"; "A note."; "(<norms.png>)" ] do
                  Expect.stringContains text.Value part "part"
          }

          test "curves are means over seeds" {
              let chart = ExperimentPage.overEpochs results
              Expect.equal [ for curve in chart.Curves -> curve.Name ] [ "bn-free"; "batch-norm" ] "curves"
              Expect.floatClose Accuracy.high (List.last chart.Curves[0].Points |> snd) 0.52 "last point"
          }

          test "the last accuracy against a number is one curve per family" {
              let place (variant: Variant) =
                  match variant.Label with
                  | "bn-free" -> Some("both", 2.0)
                  | "batch-norm" -> Some("both", 1.0)
                  | _ -> None

              let chart = ExperimentPage.over "x" place results
              Expect.equal chart.Curves [ Curve.Line("both", [ 1.0, 0.605; 2.0, 0.52 ]) ] "curves"
          }

          test "page and plot are written into one folder" {
              use folder = new TempFolder()
              ExperimentPage.write (folder.File "deep/norms.md") page results
              Expect.equal (File.ReadAllText(folder.File "deep/norms.md")) text.Value "page"
              Expect.isTrue (File.Exists(folder.File "deep/norms.png")) "plot"
          } ]
