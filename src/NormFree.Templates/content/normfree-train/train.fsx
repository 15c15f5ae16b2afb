// Trains a binary network on your own images and packs it to one bit per binary weight:
//   dotnet fsi train.fsx PHOTOS [EPOCHS]
// PHOTOS holds train/CLASS/*.jpg and test/CLASS/*.jpg. An interrupted script resumes when it runs again.
#r "nuget: NormFree.Training, NORMFREE_VERSION"

open System
open NormFree.Data
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

let argument number fallback = fsi.CommandLineArgs |> Array.tryItem number |> Option.defaultValue fallback
let recipe = { Recipe.corrected with Epochs = int (argument 2 "30"); Batch = 16; Clip = Agc 0.02 }

match Catalogue.load DatasetKind.ImageFolder (Some(argument 1 "photos")) { Catalogue.defaults with Size = Some 64 } with
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
