/// Samples of one step equal the reference implementation, on both engines, with every norm, in both stages.
module NormFree.Tests.Telemetry.SampleTests

open Expecto
open NormFree.Spec
open NormFree.Torch.Fused
open NormFree.Torch.Telemetry
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Training.Support
open TorchSharp

let private close tolerance (actual: float) expected what =
    let difference = abs (actual - expected)

    if not (difference <= tolerance * max 1.0 (abs expected)) then
        failtest $"{what}: {actual}, not {expected}"

let private closeAll tolerance actual expected what =
    for a, e in Array.zip actual expected do
        close tolerance a e what

let private inputs =
    [ for dtype, tolerance in [ torch.ScalarType.Float32, 1e-5; torch.ScalarType.Float64, 1e-12 ] do
          for layout, arrange in
              [ "channels first", (fun (x: torch.Tensor) -> x.alias ()); "channels last", ChannelsLast.Of ] do
              test $"an input of {dtype}, {layout}" {
                  use _ = torch.NewDisposeScope()
                  use generator = new torch.Generator(3UL)
                  // The offset must not change the variance. Some values lie on the window's edges and on 0.
                  let x =
                      torch
                          .randn([| 3L; 5L; 4L; 6L |], dtype = dtype, generator = generator)
                          .mul(torch.tensor 4.0)
                          .round()
                          .div(torch.tensor 8.0)
                      |> _.add(torch.arange(5, dtype = dtype).reshape(1, 5, 1, 1))
                      |> arrange

                  let shift = torch.tensor([| -0.5; 0.25; -8.0; 8.0; 0.125 |], dtype = dtype).reshape(1, 5, 1, 1)
                  let found, naive = SignInput.Statistics(x, 0.5, shift), NaiveFigures.input x 0.5 shift
                  closeAll tolerance found.Mean naive.Mean "mean"
                  closeAll tolerance found.Variance naive.Variance "variance"
                  Expect.equal found.Positive naive.Positive "shares of +1"
                  Expect.equal (SignInput.PositiveFraction(x, 0.5, shift)) naive.Positive "shares of +1 alone"
                  let squares = Array.map2 (fun mean variance -> mean * mean + variance) naive.Mean naive.Variance

                  closeAll
                      tolerance
                      (SignInput.Moments x)
                      (Array.append naive.Mean [| Array.average squares |])
                      "moments"

                  close 1e-12 found.Window naive.Window "window"
                  Expect.equal found.Positive[2] 0.0 "a channel of −1"
                  Expect.equal found.Positive[3] 1.0 "a channel of +1"
              } ]

let private started norm binarise execution =
    let net = tiny norm |> Net.withBinarise binarise
    Network.create torch.ScalarType.Float32 Rule.Corrected 1L net |> Network.running execution

/// Changes weights, gains and shifts from their initial values.
let private disturb (network: Network) =
    use _ = torch.no_grad ()
    use generator = new torch.Generator(5UL)

    // Makes one channel of every layer dead.
    for described, tensor in network.Parameters do
        use noise = torch.randn(tensor.shape, generator = generator).mul(torch.tensor 0.05)
        tensor.add_ noise |> ignore

        if described.Key.EndsWith "move0.bias" then
            use far = torch.tensor 1e3f
            tensor[0, 0].copy_(far.reshape (1, 1)) |> ignore

let private steps =
    let recipe = { quick with LearningRate = 5e-3 }

    [ for engine in [ Fused; Composite ] do
          for norm in norms do
              for binarise in [ Activations; ActivationsAndWeights ] do
                  test $"a step: {Json.name engine} engine, {Names.norm norm}, {Names.binarise binarise}" {
                      use _ = torch.NewDisposeScope()
                      let execution = { Execution.Default with Engine = engine }
                      use network = started norm binarise execution
                      use twin = started norm binarise Execution.Portable
                      disturb network
                      disturb twin
                      use optimisation = new Optimisation(recipe, network)

                      let batch, watched =
                          images torch.ScalarType.Float32 "step" 6, images torch.ScalarType.Float32 "watched" 3

                      use sampler = new Sampler("stage", network, optimisation, (fun () -> Some(watched.alias ())))
                      let sample = sampler.Start { TrainingCursor.startOf 4 with Step = 7 }
                      let layers = SignLayers.ofNetwork network
                      let seen = NaiveFigures.inputs twin Train batch

                      let inputs =
                          [ for layer in layers -> NaiveFigures.input seen[layer.Name] layer.Beta layer.Shift.Value ]

                      Losses.CrossEntropy(network.Forward(batch, Train, sampler.ForwardHook sample), labels 6)
                      |> network.Backward

                      let filters pick =
                          [ for layer in layers ->
                                [| for conv, _, weight in layer.Convolutions do
                                       conv.Standardised, NaiveFigures.filters (pick weight) |] ]

                      let gradients = filters (fun weight -> nonNull weight.grad)

                      let activations () =
                          let seen = NaiveFigures.inputs network Evaluate watched

                          [ for layer in layers ->
                                NaiveFigures.shifted seen[layer.Name] layer.Beta layer.Shift.Value
                                |> Array.concat
                                |> Array.map (fun t -> t >= 0.0) ]

                      let before, activationsBefore = filters id, activations ()

                      let move () =
                          optimisation.Clip()
                          optimisation.Move recipe.LearningRate

                      let rows = sampler.Record(sample, move)
                      let after, activationsAfter = filters id, activations ()
                      Expect.equal (rows |> List.map _.Layer) (layers |> List.map _.Name) "layers"

                      for i, row in List.indexed rows do
                          let naive = inputs[i]
                          // Engines round differently, which flips the signs of some values close to 0.
                          let share = if engine = Fused then 2e-3 else 1e-12
                          Expect.equal (row.Stage, row.Epoch, row.Step) ("stage", 5, 7) "place"
                          close 1e-4 row.MeanSquared (naive.Mean |> Array.averageBy (fun m -> m * m)) "mean²"
                          close 1e-4 row.Variance (Array.average naive.Variance) "variance"

                          if layers[i].HasShortcutConvolution then
                              close
                                  1e-4
                                  row.ShortcutMeanSquared
                                  (naive.Mean |> Array.averageBy (fun m -> m * m))
                                  "shortcut"
                          else
                              Expect.isTrue (System.Double.IsNaN row.ShortcutMeanSquared) "no shortcut's convolution"

                          close share row.Window naive.Window "window"
                          close share row.Positive (Array.average naive.Positive) "+1"
                          close (5.0 * share) row.PositiveLowest (Array.min naive.Positive) "lowest"
                          close (5.0 * share) row.PositiveHighest (Array.max naive.Positive) "highest"
                          Expect.equal row.Channels naive.Mean.Length "channels"
                          let dead = naive.Positive |> Array.filter (fun p -> p = 0.0 || p = 1.0) |> Array.length
                          Expect.equal row.DeadChannels dead "dead channels"

                          let norms values = values |> Array.collect (snd >> Array.map NaiveFigures.norm)
                          let g, w = norms gradients[i], norms before[i]
                          let limits = w |> Array.map (max 1e-3)
                          close 1e-5 row.GradientNorm (NaiveFigures.norm g) "‖g‖"
                          close 1e-5 row.NormRatio (Array.map2 (/) g limits |> Array.average) "‖g‖/‖w‖"
                          let clipped = Array.map2 (fun g limit -> if g >= 0.02 * limit then 1.0 else 0.0) g limits
                          close 1e-12 row.Clipped (Array.average clipped) "clipped"

                          let signs filters =
                              filters
                              |> Array.collect (fun (standardised, values) -> NaiveFigures.signs standardised values)

                          close
                              1e-3
                              row.WeightFlips
                              (NaiveFigures.flips (signs before[i]) (signs after[i]))
                              "flips of weights"

                          close
                              share
                              row.ActivationFlips
                              (NaiveFigures.flips activationsBefore[i] activationsAfter[i])
                              "flips of activations"

                      Expect.exists layers _.HasShortcutConvolution "some shortcuts have a convolution"
                      Expect.exists rows (fun row -> row.WeightFlips > 0.0) "some weights flip"
                      Expect.exists rows (fun row -> row.ActivationFlips > 0.0) "some activations flip"
                  } ]

let private more =
    [ test "the expected variance follows from the network's constants" {
          use network = started (BnFree 0.2) Activations Execution.Default
          let body = (Net.tryBinary network.Spec).Value
          let expected = Variance.expected body.ExpectedVariance 0.2 body.Blocks

          for layer, expected in List.zip (SignLayers.ofNetwork network) expected do
              Expect.floatClose Accuracy.veryHigh layer.ExpectedVariance expected layer.Name

          Expect.isTrue (List.exists ((<>) 1.0) expected) "they differ"
      }

      test "a forward hook does not change what a network computes" {
          for engine in [ Fused; Composite ] do
              use _ = torch.NewDisposeScope()
              use network = started BatchNorm ActivationsAndWeights { Execution.Default with Engine = engine }
              let batch = images torch.ScalarType.Float32 "observe" 4
              let seen = ResizeArray()
              let observe name (x: torch.Tensor) (y: torch.Tensor) = seen.Add(name, x.shape[1], y.shape[1])
              let observed = network.Forward(batch, Evaluate, { ForwardHook.none with Block = observe })
              Expect.equal (bits observed) (bits (network.Forward(batch, Evaluate))) "logits"
              Expect.equal [ for name, _, _ in seen -> name ] (Lowering.parts network.Spec |> List.map fst) "parts"
      } ]

let tests =
    testList "samples" [ testList "inputs" inputs; testList "steps" steps; testList "more" more ]
