/// Loss curves of both engines.
module NormFree.Tests.Training.LossCurveTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp
open NormFree.Tests.Training.FusedEngineSupport

type private Course = { Net: NetSpec; Dataset: Dataset; Batch: int; Steps: int }

/// The loss of every step of a training. The seed sets initial weights, order of images and augmentation.
let private curve execution seed course =
    let recipe = { Recipe.corrected with Batch = course.Batch; LearningRate = 1e-3; Seed = seed }
    use network = Network.create single Rule.Corrected seed course.Net |> Network.running execution
    use optimisation = new Optimisation(recipe, network)
    let count = course.Batch * course.Steps
    let source = course.Dataset.Train
    let epochs = (count + source.Count - 1) / source.Count

    [| for epoch in 0 .. epochs - 1 do
           let order = Loader.shuffled seed epoch source.Count
           let order = Array.truncate (count - epoch * source.Count) order

           let options =
               { Loader.training course.Dataset course.Batch with Seed = seed; Epoch = epoch; Workers = 1 }

           for batch in Loader.read options source order do
               use _ = torch.NewDisposeScope()
               let shape = [| int64 batch.Count; 3L; int64 batch.Side; int64 batch.Side |]
               let logits = network.Forward(torch.tensor(batch.Images).reshape shape, Train)
               let loss = Losses.CrossEntropy(logits, torch.tensor batch.Labels)
               network.Backward loss
               optimisation.Clip()
               optimisation.Move recipe.LearningRate
               float (loss.item<float32>()) |]

/// The mean absolute difference of two curves.
let private distance (a: float[]) (b: float[]) = Array.map2 (fun x y -> abs (x - y)) a b |> Array.average

/// Compares the curves of both engines with that of another seed.
let private compare course =
    let fused, composite = curve Execution.Default 1L course, curve Execution.Portable 1L course
    let other = curve Execution.Default 2L course
    let engines, seeds = distance fused composite, distance fused other
    let last = Array.length fused / 4
    let ending (losses: float[]) = losses |> Array.skip (losses.Length - last) |> Array.average
    Expect.all fused Double.IsFinite "losses"
    Expect.isLessThan engines seeds "the engines' curves differ less than those of two seeds"

    {| Falls = ending fused < (fused |> Array.truncate last |> Array.average)
       Text =
        $"{title course.Net}, {fused.Length} steps: engines {engines:F4} apart, seeds {seeds:F4}; \
      last quarter's loss fused {ending fused:F4}, composite {ending composite:F4}, other seed {ending other:F4}" |}

let curves norms =
    [ for binarise in [ Activations; ActivationsAndWeights ] do
          for norm in norms do
              let net = tiny norm |> Net.withBinarise binarise

              test $"the engines' loss curves differ by less than those of two seeds, synthetic images: {title net}" {
                  compare { Net = net; Dataset = Synthetic.dataset 5L 200 10; Batch = 10; Steps = 20 } |> ignore
              } ]

let onRealImages =
    [ for binarise in [ Activations; ActivationsAndWeights ] do
          let net =
              ReActNet.reactNet18 { Width = 0.25; Depth = 1.0 } CifarStem
              |> Net.withClasses 10
              |> Net.withNorm (BnFree 0.2)
              |> Net.withBinarise binarise

          test
              $"the engines' loss curves over 200 steps on CIFAR-10 differ by less than those of two seeds: {title net}" {
              let options = { Catalogue.defaults with Limit = Some 6400; TestLimit = Some 10 }
              let dataset = ok (Catalogue.load Cifar10 (Some(shared "cifar10-jpeg.zip")) options)
              let comparison = compare { Net = net; Dataset = dataset; Batch = 32; Steps = 200 }
              Console.WriteLine comparison.Text
              Expect.isTrue comparison.Falls "the loss falls"
          } ]
