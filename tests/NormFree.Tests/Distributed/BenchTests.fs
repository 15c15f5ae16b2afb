/// A measurement of several ranks has in it what a training of theirs tells one another.
module NormFree.Tests.Distributed.BenchTests

open Expecto
open NormFree.Spec
open NormFree.Training
open NormFree.Tests.Training.Support
open TorchSharp

let private net = tiny (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights

/// Bytes of the gradients, and those of the channels' signs.
let private bytes =
    lazy
        (use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
         let count (tensors: torch.Tensor list) = tensors |> List.sumBy _.numel()

         4L * count [ for _, tensor in network.Parameters -> tensor ],
         8L * count [ for layer in SignLayers.ofNetwork network -> layer.Shift ])

let private measured recipe ranks =
    let basis = BenchJob.Default net
    Bench.train { basis with Recipe = { recipe with Batch = 4 }; WarmUp = 1; Steps = 2; Ranks = ranks }

let tests =
    testSequenced
    <| testList
        "bench"
        [ for recipe, isBalanced in [ Recipe.corrected, true; Recipe.published, false ] do
              test $"two ranks tell one another gradients, and what keeps signs balanced: {isBalanced}" {
                  let gradients, signs = bytes.Value

                  for result in ThreadRanks.run 2 (measured recipe) do
                      Expect.equal result.Balanced isBalanced "what is said"
                      let costs = result.Exchange.Value
                      Expect.equal costs.Bytes (gradients + (if isBalanced then signs else 0L)) "bytes"
                      Expect.equal costs.Messages (if isBalanced then 2 else 1) "messages"
                      Expect.isGreaterThan result.PhaseMs.Step 0.0 "the step, without what it waits"
              }

          test "a step is measured as trainings have it if nothing is said" {
              Expect.equal (BenchJob.Default net).Recipe.Deviations Deviations.Corrected "recipe"
          } ]
