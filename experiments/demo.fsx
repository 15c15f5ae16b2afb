// The main job in miniature, on images drawn by code: both stages of a small BN-free network and of its batch-norm and no-norm twins.
#load "prelude.fsx"

open System
open NormFree.Data
open NormFree.Reporting
open NormFree.Spec
open NormFree.Training
open Prelude

atRoot ()

// Each run is the whole job: what an earlier one has kept is not gone on with.
if IO.Directory.Exists "artifacts/demo" then
    IO.Directory.Delete("artifacts/demo", true)

let recipe =
    { Recipe.corrected with
        Epochs = 3
        Batch = 64
        LearningRate = 8e-3
        Schedule = Cosine }

let runs =
    [ for norm in [ BnFree 0.2; BatchNorm; NoNorm ] do
          printfn $"-- {Words.norm norm}"

          Pipeline.from Drawn.standard
          |> Pipeline.into $"artifacts/demo/{Words.norm norm}"
          |> Pipeline.watchedBy (EventText.lines (TimeSpan.FromSeconds 10.0))
          |> Pipeline.train { recipe with WeightDecay = 1e-5 } (ReActNet.small |> Net.withNorm norm |> Net.withClasses 10)
          |> Pipeline.binariseWeights recipe
          |> Pipeline.finish ]

runs |> Report.write "artifacts/demo/report.html" "NormFree demo: three norms on drawn images"
runs |> Report.writeMarkdown "artifacts/demo/report.md" "NormFree demo: three norms on drawn images"
printfn $"\n{Report.text runs}\n\nPlot: artifacts/demo/report.png    Report: artifacts/demo/report.html"
