// Trains a binary network on your own images and packs it to one bit per binary weight:
//   dotnet fsi train.fsx PHOTOS [EPOCHS]
// PHOTOS holds CLASS/*.jpg, or train/CLASS/*.jpg and test/CLASS/*.jpg. A fifth of the training images chooses the best epoch, and tests the network if
// there are no test images. An interrupted script resumes when it runs again.
#r "nuget: NormFree.Training, NORMFREE_VERSION"

open System
open NormFree.Data
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

let argument number fallback = fsi.CommandLineArgs |> Array.tryItem number |> Option.defaultValue fallback
let recipe = { Recipe.corrected with Epochs = int (argument 2 "30"); Batch = 16; HeldOut = 0.2 }
let options = { Catalogue.defaults with Size = Some 64; HeldOut = Some(recipe.HeldOut, recipe.Seed) }

match Catalogue.load DatasetKind.ImageFolder (Some(argument 1 "photos")) options with
| Error problems ->
    problems |> List.iter (eprintfn "%O")
    exit 1
| Ok images ->
    let network =
        ReActNet.reactNet18 { Width = 0.5; Depth = 1.0 } CifarStem
        |> Net.withClasses images.Classes.Length
        |> Net.withNorm (BnFree 0.2)

    let run =
        Pipeline.from images
        |> Pipeline.into "run"
        |> Pipeline.onEvent (EventText.lines "" (TimeSpan.FromSeconds 10.0))
        |> Pipeline.train recipe network // stage 1: binary activations
        |> Pipeline.binariseWeights recipe // stage 2: binary weights too
        |> Pipeline.pack

    run.Save "network.packed.safetensors"
