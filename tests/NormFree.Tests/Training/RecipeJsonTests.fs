/// Recipes and other values survive a round trip through JSON.
module NormFree.Tests.Training.RecipeJsonTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Training.Support
open TorchSharp

/// Whether JSON can represent a recipe.
let private isRepresentable (recipe: Recipe) =
    match recipe.Loss with
    | Distillation teacher -> not (isNull (box teacher))
    | _ -> true

let private throughJson (value: 'T) =
    match Json.read<'T>(Json.write value) with
    | Ok read -> read
    | Error why -> failtest $"{Json.write value}: {why}"

let tests =
    testList
        "JSON"
        [ testProperty "a recipe survives a round trip, numbers bit for bit"
          <| fun (recipe: Recipe) ->
              // Unlike (=), Equals treats NaN as equal to itself.
              not (isRepresentable recipe) || (throughJson recipe).Equals recipe

          testProperty "an epoch's record survives a round trip"
          <| fun (rate: float) (loss: float) (heldOut: float option) ->
              let accuracy loss = { Loss = loss; Top1 = 0.5; Top5 = 0.9; Images = 10 }

              let record =
                  { Stage = "activations+weights"
                    Epoch = 1
                    Epochs = 2
                    LearningRate = rate
                    Train = accuracy loss
                    Test = accuracy loss
                    HeldOut = Option.map accuracy heldOut
                    Clipped = 0.0
                    ClippedOf = []
                    Unreadable = 0
                    Health = None
                    Seconds = 1.0 }

              let read = throughJson record

              let plain record =
                  { record with LearningRate = 0.0; Train = accuracy 0.0; Test = accuracy 0.0; HeldOut = None }

              let same (a: float) (b: float) = a.Equals b

              same read.LearningRate rate
              && List.forall2
                  same
                  [ for a in [ read.Train; read.Test ] @ Option.toList read.HeldOut -> a.Loss ]
                  (loss :: loss :: Option.toList heldOut)
              && plain read = plain record

          for name, table in Architecture.all do
              for stem in [ ImageNetStem; CifarStem ] do
                  test $"{name} with {stem} survives a round trip with every norm" {
                      for norm in everyNorm @ [ BnFree 0.1 ] do
                          for binarise in [ Activations; ActivationsAndWeights ] do
                              let net = table Size.Full stem |> Net.withNorm norm |> Net.withBinarise binarise
                              let corrected = Recipe.applyTo net Recipe.corrected

                              for net in [ net; corrected ] do
                                  Expect.equal (throughJson net) net "the network"
                  }

          test "a task survives a round trip" {
              let task = ImageTask.Of(Synthetic.dataset 1L 10 10)
              Expect.equal (throughJson task) task "the task"
          }

          test "damaged JSON is an error, not an exception" {
              let text = Json.write Recipe.published
              let random = Random 4
              let pieces = [| "null"; "{"; "}"; "["; "\""; ","; "1e999"; "-"; "x"; ""; "true"; "{}"; "[]" |]

              for _ in 1..3000 do
                  let at = random.Next text.Length
                  let length = random.Next(0, min 12 (text.Length - at))
                  let damaged = text.Remove(at, length).Insert(at, pieces[random.Next pieces.Length])

                  try
                      Json.read<Recipe> damaged |> ignore
                  with e ->
                      failtest $"{damaged}\n{e}"
          } ]
