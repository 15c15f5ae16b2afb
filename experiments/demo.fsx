// The main job in miniature, on images drawn by code: both stages of a small BN-free network and of its batch-norm and no-norm twins.
#load "prelude.fsx"

open System
open NormFree.Data
open NormFree.Reporting
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open Prelude

atRoot ()

// Each run is the whole job: what an earlier one has kept is not gone on with.
if IO.Directory.Exists "artifacts/demo" then
    IO.Directory.Delete("artifacts/demo", true)

let recipe =
    { Recipe.corrected with
        Epochs = 3
        Batch = 64
        LearningRate = 0.015
        Schedule = Cosine
        WarmUp = 1 }

// As many test images as it takes to tell 5 points of accuracy from chance.
let images = Synthetic.dataset 1L 3200 2000

let train norm =
    let name = Names.norm norm

    Pipeline.from images
    |> Pipeline.into $"artifacts/demo/{name}"
    |> Pipeline.watchedBy (EventText.lines $"{name, -10}  " (TimeSpan.FromSeconds 10.0))
    |> Pipeline.train { recipe with WeightDecay = 1e-5 } (ReActNet.small |> Net.withNorm norm |> Net.withClasses 10)
    |> Pipeline.binariseWeights recipe
    |> Pipeline.finish

let runs = sideBySide [ BnFree 0.2; BatchNorm; NoNorm ] train
let title = "NormFree demo: three norms on drawn images"

let reported =
    ReportedRun.ofFolders (RunDeployment.measuring MeasureSpeed) [ for run in runs -> { Path = $"artifacts/demo/{run.Name}" } ]

Report.write "artifacts/demo/report.html" title reported
Report.writeMarkdown "artifacts/demo/report.md" title reported
printfn $"\n{Report.text runs}\n\nPlot: artifacts/demo/report.png    Report: artifacts/demo/report.html"
