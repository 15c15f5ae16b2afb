// Batches of 4 to 256 images with and without batch norm, ReActNet-18 on CIFAR-10, stage 1:  dotnet fsi experiments/batch-size.fsx DATA …
// DATA: as for norms-cifar10.fsx. Every run sees as many images; the learning rate is --lr · √(batch / --batch), as it suits Adam.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Reporting
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open Prelude

let data, budget = budget "batch-size.fsx" { small with Epochs = 4 }
atRoot ()

let ofBatch batch =
    let scale = sqrt (float batch / float budget.Batch)
    recipe { budget with Batch = batch; LearningRate = budget.LearningRate * scale }

[ for norm in [ BnFree 0.2; BatchNorm ] do
      for batch in [ 4; 8; 16; 32; 64; 128; 256 ] ->
          { Label = $"{Names.norm norm}, batch {batch}"
            Net = cifar18 budget |> Net.withNorm norm
            First = { ofBatch batch with WeightDecay = 1e-5 }
            Second = None } ]
|> experiment "batch-size" (images Cifar10 data budget) budget
|> sweep
|> conclude
    budget
    { page "Batch size on CIFAR-10" "Does a BN-free network depend on the batch, as one with batch norm does?" with
        Compared = [ for norm in [ "bn-free"; "batch-norm" ] -> $"{norm}, batch 4", $"{norm}, batch 256" ]
        Plot =
            ExperimentPage.over "log2 of the batch" (fun variant ->
                Some((variant.Label.Split ',')[0], System.Math.Log2(float variant.First.Batch)))
        Notes = [ $"Stage 1 only. The learning rate is {budget.LearningRate} · √(batch / {budget.Batch})." ] }
