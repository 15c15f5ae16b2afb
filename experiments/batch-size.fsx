// Trains ReActNet-18 on CIFAR-10 in batches of 4 to 256 images, BN-free and with batch norm, in stage 1:
//   dotnet fsi experiments/batch-size.fsx DATA [--epochs 4] …          (DATA: see norms-cifar10.fsx)
#load "prelude.fsx"

open System
open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs { Budget.cifar with Epochs = 4 } (fun script ->
    let budget = script.Budget
    let family (variant: Variant) = (variant.Label.Split ',')[0]

    Norms.batchSizes budget [ 4; 8; 16; 32; 64; 128; 256 ]
    |> Script.sweep script script.Name (Script.images Cifar10 script)
    |> Script.publish
        script
        { Script.page
              script
              "Batch size on CIFAR-10"
              "How does accuracy depend on the batch size, with and without batch norm?" with
            Comparisons = [ for norm in [ "bn-free"; "batch-norm" ] -> $"{norm}, batch 4", $"{norm}, batch 256" ]
            Plot =
                ExperimentPage.over "log2 of the batch size" (fun v -> Some(family v, Math.Log2(float v.Stage1.Batch)))
            Notes = [ $"Stage 1 only. The learning rate is {budget.LearningRate} · √(batch / {budget.Batch})." ] })
