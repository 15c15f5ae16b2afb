module NormFree.Tests.Training.NetworkTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private stages = [ Activations; ActivationsAndWeights ]

/// The networks without batch norm, and those with, in both stages.
let private free, private normed =
    [ for norm in norms do
          for binarise in stages -> Net.withBinarise binarise (tiny norm) ]
    |> List.partition (fun net -> normName net <> "batch-norm")

let private title net = $"{normName net}, {(Net.binaryBody net).Value.Binarise |> Names.binarise}"

let private create net = Network.create torch.ScalarType.Float64 Rule.Corrected 3L net

let private logits (network: Network) mode images =
    use _ = torch.no_grad ()
    Agreement.values (network.Forward(images, mode))

let private furthest (a: float[]) (b: float[]) = Array.map2 (fun x y -> abs (x - y)) a b |> Array.max

/// What differs by rounding alone, and what cannot.
let private rounding, private apart = 1e-12, 1e-3

let private evaluation =
    [ for net in free do
          test $"{title net}: evaluation gives what training gives" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let images = images torch.ScalarType.Float64 "evaluation" 4
              Expect.equal (logits network Evaluate images) (logits network Train images) "logits"
          }
      for net in normed do
          test $"{title net}: evaluation and training differ" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let images = images torch.ScalarType.Float64 "evaluation" 4

              Expect.isGreaterThan
                  (furthest (logits network Evaluate images) (logits network Train images))
                  apart
                  "difference of the logits"
          } ]

/// Logits of the first image in two batches that share no other one.
let private companions network mode =
    let first = images torch.ScalarType.Float64 "first" 1
    let beside key n = torch.cat ([| first; images torch.ScalarType.Float64 key n |], 0L)
    (logits network mode (beside "some" 3))[..9], (logits network mode (beside "others" 5))[..9]

let private batches =
    [ for net in free do
          test $"{title net}: an image's logits do not depend on the rest of its batch" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let a, b = companions network Train
              Expect.isLessThan (furthest a b) rounding "difference of the logits"
          }
      for net in normed do
          test $"{title net}: an image's logits depend on its batch in training, not in evaluation" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let a, b = companions network Train
              Expect.isGreaterThan (furthest a b) apart "in training"
              let a, b = companions network Evaluate
              Expect.isLessThan (furthest a b) rounding "in evaluation"
          } ]

/// Gradients of the mean loss of 8 images, taken over micro-batches of so many.
let private accumulated (network: Network) size =
    use _ = torch.NewDisposeScope()
    let images, labels = images torch.ScalarType.Float64 "accumulation" 8, labels 8
    network.ClearGradients()

    for start in 0..size..7 do
        let part (t: torch.Tensor) = t.narrow (0L, int64 start, int64 size)
        let loss = Losses.CrossEntropy(network.Forward(part images, Train), part labels)
        loss.Times(float size / 8.0).backward()

    gradients network

let private norm (values: float[]) = sqrt (values |> Array.sumBy (fun v -> v * v))

/// The largest difference of two sets of gradients, each tensor's relative to its norm.
let private gradientDistance a b =
    List.map2
        (fun (_, x: float[]) (_, y: float[]) -> norm (Array.map2 (-) x y) / max (norm y) 1e-9)
        (a: (string * float[]) list)
        (b: (string * float[]) list)
    |> List.max

let private accumulation =
    [ for net in free do
          test $"{title net}: gradients accumulated over micro-batches are the full batch's" {
              use network = create net

              Expect.isLessThan
                  (gradientDistance (accumulated network 2) (accumulated network 8))
                  rounding
                  "relative difference"
          }
      for net in normed do
          test $"{title net}: gradients accumulated over micro-batches are others than the full batch's" {
              use network = create net

              Expect.isGreaterThan
                  (gradientDistance (accumulated network 2) (accumulated network 8))
                  apart
                  "relative difference"
          } ]

let private bitsOfStart rule seed net =
    use network = Network.create torch.ScalarType.Float32 rule seed net
    tensorBits network

let private binaryWeights rule net =
    use network = Network.create torch.ScalarType.Float64 rule 1L net

    [| for described, tensor in network.Parameters do
           match described.Kind with
           | ConvolutionWeight conv when conv.Weight = OneBit -> yield! Agreement.values tensor
           | _ -> () |]

let private start =
    [ for norm in norms do
          test $"{Names.norm norm}: the start is a function of the seed" {
              let net = tiny norm
              use _ = torch.rand 7L // what was drawn before does not matter
              sameBits (bitsOfStart Rule.Corrected 5L net) (bitsOfStart Rule.Corrected 5L net) "seed 5 twice"
              let differing = differences (bitsOfStart Rule.Corrected 5L net) (bitsOfStart Rule.Corrected 6L net)

              Expect.containsAll
                  differing
                  [ "conv1.weight"; "layer1.0.binary_conv.weight"; "fc.weight"; "fc.bias" ]
                  "seeds 5 and 6 differ"
          }

      test "binary weights start non-negative as published, deviation 9" {
          let weights = binaryWeights Rule.Published (tiny NoNorm |> Net.withBinarise ActivationsAndWeights)
          Expect.isNonEmpty weights "binary weights"
          Expect.all weights (fun w -> w >= 0.0 && w < 1e-3) "0 to 1e-3"
      }

      test "binary weights start symmetric when corrected" {
          let weights = binaryWeights Rule.Corrected (tiny NoNorm |> Net.withBinarise ActivationsAndWeights)
          Expect.all weights (fun w -> abs w <= 1e-3) "within 1e-3"
          let negative = weights |> Array.filter (fun w -> w < 0.0) |> Array.length
          // A fair coin's share deviates by 0.5/√n.
          let share = float negative / float weights.Length
          Expect.isLessThan (abs (share - 0.5)) (5.0 * 0.5 / sqrt (float weights.Length)) "half of them negative"
      }

      test "real weights start within ±1/√fan_in, gains at 1, slopes at 0.25, shifts at 0" {
          use network = Network.create torch.ScalarType.Float64 Rule.Published 1L (tiny (BnFree 0.2))

          for described, tensor in network.Parameters do
              let values = Agreement.values tensor
              let all value = Expect.all values ((=) value) described.Key

              match described.Kind with
              | ConvolutionWeight conv ->
                  let bound = 1.0 / sqrt (float (conv.In * conv.Kernel * conv.Kernel))
                  Expect.all values (fun v -> abs v <= bound) described.Key
                  Expect.isGreaterThan (values |> Array.averageBy abs) (0.4 * bound) described.Key
              | LinearWeight
              | LinearBias _ -> Expect.all values (fun v -> abs v <= 1.0 / sqrt 32.0) described.Key
              | Gain
              | NormWeight -> all 1.0
              | Slope -> all 0.25
              | ShiftBias
              | NormBias -> all 0.0
      } ]

/// The gain of a binary, standardised convolution is multiplied.
let private raiseGains factor (network: Network) =
    use _ = torch.no_grad ()

    let gains =
        [ for described, _ in network.Parameters do
              match described.Kind with
              | ConvolutionWeight conv when conv.Standardised && conv.Weight = OneBit -> $"{conv.Key}.gain"
              | _ -> () ]

    for name, tensor in network.Tensors do
        if List.contains name gains then
            tensor.TimesInPlace factor |> ignore

    gains.Length

let private gain =
    [ test "deviation 10: every standardised binary filter is multiplied by √(π/2)" {
          use _ = torch.NewDisposeScope()
          let net rule = tiny (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights |> Net.withBinaryGain rule
          use one = create (net BinaryGain.One)
          use preserving = create (net BinaryGain.VariancePreserving)
          let images = images torch.ScalarType.Float64 "gain" 2

          Expect.isGreaterThan
              (furthest (logits one Evaluate images) (logits preserving Evaluate images))
              apart
              "the factor matters"
          // Nine layers and two projections.
          Expect.equal (raiseGains (sqrt (Math.PI / 2.0)) one) 11 "gains raised"

          Expect.isLessThan
              (furthest (logits one Evaluate images) (logits preserving Evaluate images))
              rounding
              "and is √(π/2)"
      }

      for norm, binarise in [ BatchNorm, ActivationsAndWeights; NoNorm, ActivationsAndWeights; BnFree 0.2, Activations ] do
          test $"{Names.norm norm}, {Names.binarise binarise}: deviation 10 changes nothing" {
              use _ = torch.NewDisposeScope()
              let net rule = tiny norm |> Net.withBinarise binarise |> Net.withBinaryGain rule
              use one = create (net BinaryGain.One)
              use preserving = create (net BinaryGain.VariancePreserving)
              let images = images torch.ScalarType.Float64 "gain" 2
              Expect.equal (logits one Evaluate images) (logits preserving Evaluate images) "logits"
          } ]

let private leaks =
    [ for norm in norms do
          test $"{Names.norm norm}: 52 steps and their evaluations leave no tensor behind" {
              let recipe = { quick with Epochs = 4; Batch = 10 }
              let before = alive ()
              let counts = ResizeArray()

              let watch =
                  function
                  | EpochDone _ -> counts.Add torch.Tensor.TotalCount
                  | _ -> ()

              let parameters =
                  Pipeline.from (Synthetic.dataset 4L 125 20)
                  |> Pipeline.onEvent watch
                  |> Pipeline.train recipe (tiny norm)
                  |> look (fun trained -> trained.Network.Parameters.Length)

              // A Parameter takes over the tensor that it is made of; TorchSharp counts both and takes one off. A start that is measured takes
              // a network of its own. Other tests' tensors may be freed meanwhile.
              let networks = if DataDependentInit.appliesTo (tiny norm) then 2 else 1
              let left = int64 (networks * parameters)
              Expect.isLessThanOrEqual (alive ()) (before + left) "tensors after the network is disposed"

              Expect.isLessThanOrEqual
                  counts[3]
                  counts[1]
                  "tensors after the second and the last epoch, without a collection"
          }

      test "clipping and steps outside of any scope leave nothing to the collector" {
          use network = Network.create torch.ScalarType.Float64 Rule.Corrected 3L (tiny (BnFree 0.2))
          use optimisation = new Optimisation(Recipe.published, network)
          accumulated network 8 |> ignore
          let before = alive ()

          for _ in 1..5 do
              optimisation.Clip()
              optimisation.Move 1e-3

          Expect.isLessThanOrEqual torch.Tensor.TotalCount before "tensors after five steps"
      } ]

let private diverged =
    [ test "a network of NaN is never right" {
          use _ = torch.NewDisposeScope()
          use network = Network.create torch.ScalarType.Float32 Rule.Corrected 3L (tiny (BnFree 0.2))
          use _ = torch.no_grad ()

          for _, tensor in network.Parameters do
              tensor.PlusInPlace nan |> ignore

          let dataset = Synthetic.dataset 4L 20 20
          let found = Evaluation.accuracy RunOptions.Default (ImageTask.Of dataset) 10 network dataset.Test
          Expect.equal (found.Top1, found.Top5, found.Images) (0.0, 0.0, 20) "accuracy"
      } ]

/// The leak tests count all tensors of the process, so nothing else may run beside them.
let tests =
    testList
        "networks"
        [ testList "evaluation" evaluation
          testList "batches" batches
          testList "accumulation" accumulation
          testList "start" start
          testList "binary gain" gain
          testList "divergence" diverged
          testSequenced (testList "tensors" leaks) ]
