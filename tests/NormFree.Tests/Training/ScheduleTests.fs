/// Learning rates of recipes, epoch by epoch.
module NormFree.Tests.Training.ScheduleTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Training.Support
open TorchSharp

let private published = { Recipe.published with LearningRate = 1.0 }
let private corrected = { Recipe.corrected with LearningRate = 1.0 }

/// The learning rate at the first step of every epoch of 10 steps.
let private rates (recipe: Recipe) = [ for epoch in 0 .. recipe.Epochs - 1 -> Recipe.rate recipe 10 epoch 0 ]

let private half = sqrt 0.5

/// Name, recipe and expected rates.
let private tables =
    let four (recipe: Recipe) schedule = { recipe with Epochs = 4; Schedule = schedule }

    [ "linear, published: the last epoch runs at 0", four published Linear, [ 0.75; 0.5; 0.25; 0.0 ]
      "linear, corrected: the first epoch runs at the full rate", four corrected Linear, [ 1.0; 0.75; 0.5; 0.25 ]
      "cosine, published", four published Cosine, [ (1.0 + half) / 2.0; 0.5; (1.0 - half) / 2.0; 0.0 ]
      "cosine, corrected", four corrected Cosine, [ 1.0; (1.0 + half) / 2.0; 0.5; (1.0 - half) / 2.0 ]
      "constant, published", four published Constant, [ 1.0; 1.0; 1.0; 1.0 ]
      "constant, corrected", four corrected Constant, [ 1.0; 1.0; 1.0; 1.0 ]
      "steps of two epochs by a tenth, published", four published (Step(2, 0.1)), [ 1.0; 0.1; 0.1; 0.01 ]
      "steps of two epochs by a tenth, corrected", four corrected (Step(2, 0.1)), [ 1.0; 1.0; 0.1; 0.1 ]
      "one epoch, published", { published with Epochs = 1 }, [ 0.0 ]
      "one epoch, corrected", { corrected with Epochs = 1 }, [ 1.0 ]
      "the learning rate scales the schedule",
      { four corrected Linear with LearningRate = 4e-3 },
      [ 4e-3; 3e-3; 2e-3; 1e-3 ] ]

let private close (actual: float list) (expected: float list) what =
    Expect.equal actual.Length expected.Length what

    for a, e in List.zip actual expected do
        Expect.floatClose Accuracy.veryHigh a e what

let rival =
    testList
        "A&B BNN"
        [ test "its rate falls by 1/E an epoch, and everything but the classifier is clipped at 0.001" {
              close (rates { Recipe.abBnn with Epochs = 4; LearningRate = 1.0 }) [ 1.0; 0.75; 0.5; 0.25 ] "rates"
              Expect.equal Recipe.abBnn.Clip (Agc 0.001) "λ"
              let parameters = Parameters.ofGraph (Lowering.lower (Net.asAbBnn (tiny (BnFree 0.2))))

              for parameter in parameters do
                  Expect.equal
                      (Recipe.clips Recipe.abBnn parameter)
                      (not (parameter.Key.StartsWith "fc"))
                      $"{parameter.Key} is clipped"

                  Expect.equal (Recipe.rateFactor Recipe.abBnn (tiny (BnFree 0.25)) parameter) 1.0 parameter.Key
          } ]

let schedules =
    testList
        "schedules"
        [ for name, recipe, expected in tables do
              test name { close (rates recipe) expected "rates" }

          test "no epoch of the published schedule runs at a negative rate" {
              Expect.all (rates { published with Epochs = 256 }) (fun rate -> rate >= 0.0) "rates"
          }

          test "a corrected schedule falls step by step, a published one epoch by epoch" {
              let rates recipe = [ for step in 0..4 -> Recipe.rate { recipe with Epochs = 2 } 5 1 step ]
              close (rates { corrected with Schedule = Linear }) [ 0.5; 0.4; 0.3; 0.2; 0.1 ] "corrected"
              close (rates published) [ 0.0; 0.0; 0.0; 0.0; 0.0 ] "published"
          }

          test "the warm-up rises step by step and reaches the schedule with its last step" {
              let recipe = { corrected with Epochs = 4; Schedule = Constant; WarmUp = 2.0 }

              let all =
                  [ for epoch in 0..3 do
                        for step in 0..1 -> Recipe.rate recipe 2 epoch step ]

              close all [ 0.25; 0.5; 0.75; 1.0; 1.0; 1.0; 1.0; 1.0 ] "rates"
          }

          test "a warm-up of half an epoch ends in the middle of the first epoch" {
              let recipe = { corrected with Epochs = 4; Schedule = Constant; WarmUp = 0.5 }
              close [ for step in 0..3 -> Recipe.rate recipe 4 0 step ] [ 0.5; 1.0; 1.0; 1.0 ] "rates"
          }

          test "the warm-up multiplies the schedule" {
              let recipe = { corrected with Epochs = 4; WarmUp = 1.0 }
              let scheduled = [ for step in 0..3 -> 1.0 - float step / 16.0 ]
              let expected = List.map2 (*) scheduled [ 0.25; 0.5; 0.75; 1.0 ]
              close [ for step in 0..3 -> Recipe.rate recipe 4 0 step ] expected "first epoch"
              close [ Recipe.rate recipe 4 1 0 ] [ 0.75 ] "second epoch"
          } ]
