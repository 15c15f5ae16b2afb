/// Recipes: which are valid, which tensors and networks their rules affect, and their method numbers.
module NormFree.Tests.Training.RecipeTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private published = { Recipe.published with LearningRate = 1.0 }
let private corrected = { Recipe.corrected with LearningRate = 1.0 }

let private validation =
    testList
        "validation"
        [ test "the predefined recipes are valid" {
              for recipe in [ Recipe.published; Recipe.corrected; quick ] do
                  Expect.equal (Recipe.validate recipe) (Ok recipe) "valid"
          }

          test "all problems are reported at once" {
              let wrong =
                  { Recipe.published with
                      Epochs = 0
                      Batch = 0
                      LearningRate = Double.NaN
                      WeightDecay = -1.0
                      WarmUp = -1
                      HeldOut = 1.0
                      Clip = Agc 0.0
                      Loss = LabelSmoothing 1.5
                      Schedule = Step(0, 0.1)
                      Optimiser = Sgd 1.0 }

              match Recipe.validate wrong with
              | Ok _ -> failtest "the recipe was accepted"
              | Error problems ->
                  Expect.hasLength problems 10 "problems"

                  for word in
                      [ "epochs"
                        "batch"
                        "learning rate"
                        "weight decay"
                        "warm-up"
                        "held-out"
                        "clipping"
                        "smoothing"
                        "step schedule"
                        "momentum" ] do
                      Expect.exists problems (fun problem -> problem.Contains word) word
          }

          for name, recipe in
              [ "an infinite learning rate", { published with LearningRate = infinity }
                "a learning rate above 100", { published with LearningRate = 100.1 }
                "a weight decay above 10", { published with WeightDecay = 10.1 }
                "an infinite clipping factor", { published with Clip = Agc infinity }
                "an infinite factor of a step schedule", { published with Schedule = Step(1, infinity) }
                "an infinite weight decay", { published with WeightDecay = infinity }
                "a NaN weight decay", { published with WeightDecay = nan }
                "a NaN clipping factor", { published with Clip = Agc nan }
                "a NaN held-out fraction", { published with HeldOut = nan }
                "a warm-up past the last epoch", { published with Epochs = 3; WarmUp = 4.0 }
                "a negative warm-up", { published with WarmUp = -1 }
                "a batch of 2³¹−1 images", { published with Batch = System.Int32.MaxValue }
                "2³¹−1 epochs", { published with Epochs = System.Int32.MaxValue } ] do
              test $"{name} is rejected" {
                  match Recipe.validate recipe with
                  | Error [ _ ] -> ()
                  | result -> failtest $"{result}"
              } ]

/// Tensors of layer2.0 and of the first and last layers of ReActNet-18, with whether they are decayed (published, corrected; deviation 7) and
/// clipped (published, corrected; deviation 8).
let private affected norm =
    [ "conv1.weight", (true, true, true, true)
      "layer2.0.move0.bias", (true, false, true, false)
      "layer2.0.binary_conv.weight", (true, true, true, true)
      "layer2.0.move1.bias", (true, false, true, false)
      "layer2.0.prelu.weight", (false, false, true, false)
      "layer2.0.move2.bias", (true, false, true, false)
      "layer2.0.downsample.1.weight", (true, true, true, true)
      "fc.weight", (false, true, false, false)
      "fc.bias", (false, false, false, false)
      match norm with
      | BnFree _ ->
          "conv1.gain", (true, false, true, false)
          "layer2.0.binary_conv.gain", (true, false, true, false)
          "layer2.0.downsample.1.gain", (true, false, true, false)
      | BatchNorm ->
          for name in [ "bn1"; "layer2.0.bn1"; "layer2.0.downsample.2" ] do
              $"{name}.weight", (false, false, true, false)
              $"{name}.bias", (false, false, true, false)
      | NoNorm
      | Scaled _ -> () ]

let private parameters norm = ReActNet.r18 |> Net.withNorm norm |> Lowering.lower |> Parameters.ofGraph

let private scope =
    testList
        "scope"
        [ for norm in norms do
              test $"{Names.norm norm}: tensors of ReActNet-18 with weight decay and clipping" {
                  let shown =
                      parameters norm
                      |> List.filter (fun p -> [ "conv1."; "bn1."; "layer2.0."; "fc." ] |> List.exists p.Key.StartsWith)

                  let actual =
                      [ for p in shown ->
                            p.Key,
                            (Recipe.decays published p,
                             Recipe.decays corrected p,
                             Recipe.clips published p,
                             Recipe.clips corrected p) ]

                  Expect.equal
                      (Map actual)
                      (Map(affected norm))
                      "(decays published, corrected, clips published, corrected)"
              }

          test "ReActNet-18, corrected: weight decay of 20 convolutions and the classifier, clipping of 20 convolutions" {
              let p = parameters (BnFree 0.2)
              let count rule = p |> List.filter rule |> List.length
              Expect.equal (count (Recipe.decays corrected)) 21 "decayed"
              Expect.equal (count (Recipe.clips corrected)) 20 "clipped"

              Expect.equal
                  (count (Recipe.decays published))
                  (p.Length - 18)
                  "all but 16 slopes and the classifier's two"

              Expect.equal (count (Recipe.clips published)) (p.Length - 2) "all but the classifier's two"
          }

          test
              "corrected learning rates: α for shifts, 1/α for gains and the classifier, less for large filters, 1 with batch norm" {
              let rates norm =
                  let net = ReActNet.r18 |> Net.withNorm norm

                  Map
                      [ for p in parameters norm do
                            if
                                [ "conv1."
                                  "layer2.0.binary_conv.weight"
                                  "layer2.0.move0"
                                  "layer2.0.prelu"
                                  "layer2.0.bn1"
                                  "fc." ]
                                |> List.exists p.Key.StartsWith
                            then
                                p.Key, Recipe.rateFactor corrected net p ]

              let expected =
                  [ "conv1.weight", sqrt (144.0 / 147.0)
                    "conv1.gain", 2.5
                    "layer2.0.binary_conv.weight", 0.5
                    "layer2.0.move0.bias", 0.4
                    "layer2.0.prelu.weight", 1.0
                    "fc.weight", 2.5
                    "fc.bias", 1.0 ]

              Expect.equal (rates (BnFree 0.4)) (Map expected) "bn-free"
              Expect.all (rates BatchNorm) (fun pair -> pair.Value = 1.0) "batch norm"
              Expect.all (rates NoNorm) (fun pair -> pair.Value = 1.0) "none"

              for p in parameters (BnFree 0.4) do
                  Expect.equal (Recipe.rateFactor published ReActNet.r18 p) 1.0 $"{p.Key}, published"
          }

          for name, rules in [ "published", Deviations.Published; "corrected", Deviations.Corrected ] do
              test $"a step with zero gradients shrinks exactly the decayed tensors, {name}" {
                  use network = Network.create torch.ScalarType.Float64 Rule.Corrected 1L (tiny (BnFree 0.2))

                  let recipe = { Recipe.published with Optimiser = Sgd 0.0; WeightDecay = 0.5; Deviations = rules }

                  use optimisation = new Optimisation(recipe, network)
                  use _ = torch.NewDisposeScope()
                  use _ = torch.no_grad ()
                  let before = [ for _, tensor in network.Parameters -> tensor.detach().clone() ]

                  for _, tensor in network.Parameters do
                      tensor.grad <- torch.zeros_like tensor

                  optimisation.Clip()
                  optimisation.Move 0.1

                  for (described, tensor), before in List.zip network.Parameters before do
                      let rate = 0.1 * Recipe.rateFactor recipe network.Spec described
                      let factor = if Recipe.decays recipe described then 1.0 - 0.5 * rate else 1.0
                      Agreement.allClose 1e-12 tensor (Agreement.values before |> Array.map ((*) factor)) described.Key
              } ]

let private applied =
    test "a recipe sets the network's expected variance and binary gain, deviations 5 and 10" {
        let body recipe = (Net.tryBinary (Recipe.applyTo ReActNet.r18 recipe)).Value
        let published, corrected = body Recipe.published, body Recipe.corrected

        Expect.equal
            (published.ExpectedVariance, published.BinaryGain)
            (ExpectedVariance.Published, BinaryGain.One)
            "published"

        Expect.equal
            (corrected.ExpectedVariance, corrected.BinaryGain)
            (ExpectedVariance.Corrected, BinaryGain.VariancePreserving)
            "corrected"

        let measured = ExpectedVariance.Measured [ for _ in 1..16 -> 0.5 ]
        let applied = Recipe.applyTo (ReActNet.r18 |> Net.withExpectedVariance measured) Recipe.published
        Expect.equal (Net.tryBinary applied).Value.ExpectedVariance measured "a measured variance stays"
    }

let private shortcuts =
    test "deviation 16: binary shortcuts of bn-free networks become zero-mean in stage 2" {
        let weights net recipe = Recipe.applyTo net recipe |> Net.shortcutWeights
        let both = ReActNet.r18 |> Net.withBinarise ActivationsAndWeights

        let published =
            { corrected with Deviations = { corrected.Deviations with ShortcutWeights = Rule.Published } }

        for what, net, recipe, expected in
            [ "corrected", both, corrected, WeightBinariser.ZeroMean
              "published", both, published, WeightBinariser.Binary
              "stage 1", ReActNet.r18, corrected, WeightBinariser.Binary
              "batch norm", Net.withNorm BatchNorm both, corrected, WeightBinariser.Binary
              "no norm", Net.withNorm NoNorm both, corrected, WeightBinariser.Binary
              "real shortcuts", Net.withShortcutWeights WeightBinariser.Real both, corrected, WeightBinariser.Real ] do
            Expect.equal (weights net recipe) (Some expected) what
    }

let private methods =
    test "a new method number applies only to the networks and recipes that it affects" {
        let signsOnly =
            { corrected with Deviations = { corrected.Deviations with StreamCentering = Rule.Published } }

        let uncentered =
            { signsOnly with Deviations = { signsOnly.Deviations with SignCentering = Rule.Published } }

        let biReal = BiRealNet.biReal18 Size.Full CifarStem

        for what, recipe, net, number in
            [ "an RPReLU", corrected, ReActNet.r18, 4
              "no stream centering, shortcuts with a convolution", signsOnly, ReActNet.r18, 3
              "shortcuts without", signsOnly, ReActNet.a, 2
              "no gains", signsOnly, ReActNet.r18 |> Net.withNorm (Scaled 0.2), 2
              "no RPReLU", corrected, biReal, 3
              "no centering", uncentered, ReActNet.r18, 2
              "batch norm", corrected, ReActNet.r18 |> Net.withNorm BatchNorm, 2
              "the published recipe", published, ReActNet.r18, 2 ] do
            Expect.equal (RecipeMethod.number recipe net) number what

        let all =
            [ "per-step decay (2)"; "learning rates (14)"; "sign centering (15)"; "stream centering (17)" ]

        for what, before, net, rules in
            [ "before numbers", None, ReActNet.r18, all
              "2", Some 2, ReActNet.r18, [ "sign centering (15)"; "stream centering (17)" ]
              "2, shortcuts without a convolution", Some 2, ReActNet.a, [ "stream centering (17)" ]
              "3", Some 3, ReActNet.r18, [ "stream centering (17)" ]
              "3, no RPReLU", Some 3, biReal, []
              "today's", Some 4, ReActNet.r18, []
              "a later version's", Some 5, ReActNet.r18, all ] do
            Expect.equal (RecipeMethod.changedSince before corrected net) rules what
    }

let tests =
    testList
        "recipes"
        [ ScheduleTests.schedules
          ScheduleTests.rival
          validation
          scope
          applied
          shortcuts
          methods
          RecipeJsonTests.tests ]
