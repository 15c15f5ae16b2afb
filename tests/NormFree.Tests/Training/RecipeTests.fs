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

let private rival =
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

let private schedules =
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
                "an infinite weight decay", { published with WeightDecay = infinity }
                "a NaN weight decay", { published with WeightDecay = nan }
                "a NaN clipping factor", { published with Clip = Agc nan }
                "a NaN held-out fraction", { published with HeldOut = nan }
                "a warm-up past the last epoch", { published with Epochs = 3; WarmUp = 4.0 }
                "a negative warm-up", { published with WarmUp = -1 } ] do
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

/// Whether JSON can represent a recipe.
let private isRepresentable (recipe: Recipe) =
    match recipe.Loss with
    | Distillation teacher -> not (isNull (box teacher))
    | _ -> true

let private throughJson (value: 'T) =
    match Json.read<'T>(Json.write value) with
    | Ok read -> read
    | Error why -> failtest $"{Json.write value}: {why}"

let private json =
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
        let uncentered =
            { corrected with Deviations = { corrected.Deviations with SignCentering = Rule.Published } }

        for what, recipe, net, number in
            [ "shortcuts with a convolution", corrected, ReActNet.r18, 3
              "shortcuts without", corrected, ReActNet.a, 2
              "no gains", corrected, ReActNet.r18 |> Net.withNorm (Scaled 0.2), 2
              "no sign centering", uncentered, ReActNet.r18, 2
              "batch norm", corrected, ReActNet.r18 |> Net.withNorm BatchNorm, 2
              "the published recipe", published, ReActNet.r18, 2 ] do
            Expect.equal (Recipe.method recipe net) number what

        let all = [ "per-step decay (2)"; "learning rates (14)"; "sign centering (15)" ]

        for what, before, net, rules in
            [ "before numbers", None, ReActNet.r18, all
              "2", Some 2, ReActNet.r18, [ "sign centering (15)" ]
              "2, shortcuts without a convolution", Some 2, ReActNet.a, []
              "today's", Some 3, ReActNet.r18, []
              "a later version's", Some 4, ReActNet.r18, all ] do
            Expect.equal (Recipe.changedSince before corrected net) rules what
    }

let tests =
    testList "recipes" [ schedules; rival; validation; scope; applied; shortcuts; methods; json ]
