// Trains on a folder of images, FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, and writes runs/FOLDER/packed.safetensors:
//   dotnet fsi experiments/own-images.fsx FOLDER [--epochs 30] [--batch 16] [--size 64] [--width 0.5] …
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Training
open NormFree.Experiments

Script.run fsi.CommandLineArgs { Budget.cifar with Epochs = 30; Batch = 16; Size = 64 } (fun script ->
    let images, recipe = Script.images ImageFolder script, Budget.recipe script.Budget
    let net = Budget.reactNet18 script.Budget |> Net.withClasses images.Classes.Length
    let run = $"runs/{System.IO.DirectoryInfo(script.Data).Name}"

    let plan =
        Pipeline.from images
        |> Pipeline.into run
        |> Pipeline.onEvent (EventText.lines "" (System.TimeSpan.FromSeconds 10.0))

    let packed = plan |> Pipeline.train recipe net |> Pipeline.binariseWeights recipe |> Pipeline.pack
    packed.Save $"{run}/packed.safetensors")
