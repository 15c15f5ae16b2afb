/// A measurement of several ranks includes their communication in training.
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

/// Bytes of the gradients, and of sign centering: the channels' means and one mean square per layer.
let private bytes =
    lazy
        (use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net

         4L * List.sumBy (fun (_, tensor: Modules.Parameter) -> tensor.numel ()) network.Parameters,
         8L
         * List.sumBy (fun (layer: SignLayer) -> layer.Shift.Value.numel () + 1L) (SignLayers.ofNetwork network))

let private measured recipe ranks =
    let basis = BenchJob.Default net
    Bench.train { basis with Recipe = { recipe with Batch = 4 }; WarmUp = 1; Steps = 2; Ranks = ranks }

let tests =
    testSequenced
    <| testList
        "bench"
        [ for recipe, isCentered in [ Recipe.corrected, true; Recipe.published, false ] do
              test $"two ranks exchange gradients and, with sign centering ({isCentered}), its sums" {
                  let gradients, moments = bytes.Value

                  for result in ThreadRanks.run 2 (measured recipe) do
                      Expect.equal result.SignCentering isCentered "sign centering"
                      let costs = result.Exchange.Value
                      Expect.equal costs.Bytes (gradients + (if isCentered then moments else 0L)) "bytes"
                      Expect.equal costs.Messages (if isCentered then 2 else 1) "messages"
                      Expect.isGreaterThan result.PhaseMs.Step 0.0 "the step, without waiting"
              }

          test "the default is training's default recipe" {
              Expect.equal (BenchJob.Default net).Recipe.Deviations Deviations.Corrected "recipe"
          } ]
