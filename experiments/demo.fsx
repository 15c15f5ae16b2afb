// Trains a small BN-free ReActNet and its batch-norm and no-norm twins on synthetic images, both stages, and writes a report.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Experiments
open NormFree.Benchmarks

System.Environment.CurrentDirectory <- System.IO.Path.Combine(__SOURCE_DIRECTORY__, "..")

let recipe = { Budget.recipe { Budget.cifar with Epochs = 3; LearningRate = 0.015 } with WarmUp = 1 }

// 2000 test images suffice to tell a difference of 5 points from chance.
Norms.variants (ReActNet.small |> Net.withClasses 10) recipe
|> VariantRuns.trainFromScratch "artifacts/demo" (Synthetic.dataset 1L 6000 2000)
|> VariantRuns.report
    "artifacts/demo"
    "NormFree demo: three norms on synthetic images"
    (RunDeployment.measuring MeasureSpeed)
