/// A measurement of several ranks has in it what a training of theirs tells one another.
module NormFree.Tests.Distributed.BenchTests

open Expecto
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests.Training.Support
open TorchSharp

let private net = tiny (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights

/// Bytes of the gradients, and those of what keeps signs balanced: the channels' means and a mean square of each layer.
let private bytes =
    lazy
        (use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net

         4L * List.sumBy (fun (_, tensor: Modules.Parameter) -> tensor.numel ()) network.Parameters,
         8L * List.sumBy (fun layer -> layer.Shift.numel () + 1L) (SignLayers.ofNetwork network))

let private measured recipe ranks =
    let basis = BenchJob.Default net
    Bench.train { basis with Recipe = { recipe with Batch = 4 }; WarmUp = 1; Steps = 2; Ranks = ranks }

let tests =
    testSequenced
    <| testList
        "bench"
        [ for recipe, isBalanced in [ Recipe.corrected, true; Recipe.published, false ] do
              test $"two ranks tell one another gradients, and what keeps signs balanced: {isBalanced}" {
                  let gradients, moments = bytes.Value

                  for result in ThreadRanks.run 2 (measured recipe) do
                      Expect.equal result.Balanced isBalanced "what is said"
                      let costs = result.Exchange.Value
                      Expect.equal costs.Bytes (gradients + (if isBalanced then moments else 0L)) "bytes"
                      Expect.equal costs.Messages (if isBalanced then 2 else 1) "messages"
                      Expect.isGreaterThan result.PhaseMs.Step 0.0 "the step, without what it waits"
              }

          test "a step is measured as trainings have it if nothing is said" {
              Expect.equal (BenchJob.Default net).Recipe.Deviations Deviations.Corrected "recipe"
          } ]
