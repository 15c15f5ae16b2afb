// Trains the full-width ReActNet-18 without batch norm on CIFAR-10 in two stages, and writes a report:
//   dotnet fsi experiments/cifar10.fsx DATA [--epochs 2] …          (DATA: see norms-cifar10.fsx)
#load "prelude.fsx"

open System
open NormFree.Data
open NormFree.Reporting
open NormFree.Training
open NormFree.Experiments
open NormFree.Benchmarks

Script.run fsi.CommandLineArgs { Budget.cifar with Epochs = 2; Width = 1.0 } (fun script ->
    let recipe, folder = Budget.recipe script.Budget, "runs/cifar10-bn-free"

    Pipeline.from (Script.images Cifar10 script)
    |> Pipeline.into folder
    |> Pipeline.onEvent (EventText.lines "" (TimeSpan.FromSeconds 10.0))
    |> Pipeline.train { recipe with WeightDecay = 1e-5 } (Budget.reactNet18 script.Budget)
    |> Pipeline.binariseWeights recipe
    |> Pipeline.finish
    |> ignore

    ReportedRun.ofFolders (RunDeployment.measuring MeasureSpeed) [ { Path = folder } ]
    |> Report.writeMarkdown "experiments/results/cifar10-reactnet18.md" "ReActNet-18 without batch norm on CIFAR-10")
