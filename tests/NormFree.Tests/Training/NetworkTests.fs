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

/// The networks without and with batch norm, in both stages.
let private withoutBatchNorm, private withBatchNorm =
    [ for norm in norms do
          for binarise in stages -> Net.withBinarise binarise (tiny norm) ]
    |> List.partition (fun net -> normName net <> "batch-norm")

let private title net = $"{normName net}, {(Net.tryBinary net).Value.Binarise |> Names.binarise}"

let private create net = Network.create torch.ScalarType.Float64 Rule.Corrected 3L net

let private logits (network: Network) mode images =
    use _ = torch.no_grad ()
    Agreement.values (network.Forward(images, mode))

let private maxDifference (a: float[]) (b: float[]) = Array.map2 (fun x y -> abs (x - y)) a b |> Array.max

/// The largest difference by rounding, and the smallest real difference.
let private rounding, private apart = 1e-12, 1e-3

let private evaluation =
    [ for net in withoutBatchNorm do
          test $"{title net}: evaluation and training give the same logits" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let images = images torch.ScalarType.Float64 "evaluation" 4
              Expect.equal (logits network Evaluate images) (logits network Train images) "logits"
          }
      for net in withBatchNorm do
          test $"{title net}: evaluation and training differ" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let images = images torch.ScalarType.Float64 "evaluation" 4

              Expect.isGreaterThan
                  (maxDifference (logits network Evaluate images) (logits network Train images))
                  apart
                  "difference of the logits"
          } ]

/// Logits of the first image in two batches whose other images differ.
let private companions network mode =
    let first = images torch.ScalarType.Float64 "first" 1
    let batch key n = torch.cat ([| first; images torch.ScalarType.Float64 key n |], 0L)
    (logits network mode (batch "some" 3))[..9], (logits network mode (batch "others" 5))[..9]

let private batches =
    [ for net in withoutBatchNorm do
          test $"{title net}: an image's logits do not depend on the rest of its batch" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let a, b = companions network Train
              Expect.isLessThan (maxDifference a b) rounding "difference of the logits"
          }
      for net in withBatchNorm do
          test $"{title net}: an image's logits depend on its batch in training, not in evaluation" {
              use _ = torch.NewDisposeScope()
              use network = create net
              let a, b = companions network Train
              Expect.isGreaterThan (maxDifference a b) apart "in training"
              let a, b = companions network Evaluate
              Expect.isLessThan (maxDifference a b) rounding "in evaluation"
          } ]

/// Gradients of the mean loss of 8 images, accumulated over micro-batches.
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
    [ for net in withoutBatchNorm do
          test $"{title net}: accumulated gradients equal the full batch's" {
              use network = create net

              Expect.isLessThan
                  (gradientDistance (accumulated network 2) (accumulated network 8))
                  rounding
                  "relative difference"
          }
      for net in withBatchNorm do
          test $"{title net}: accumulated gradients differ from the full batch's" {
              use network = create net

              Expect.isGreaterThan
                  (gradientDistance (accumulated network 2) (accumulated network 8))
                  apart
                  "relative difference"
          } ]

let private initialBits rule seed net =
    use network = Network.create torch.ScalarType.Float32 rule seed net
    tensorBits network

let private binaryWeights rule net =
    use network = Network.create torch.ScalarType.Float64 rule 1L net

    [| for described, tensor in network.Parameters do
           match described.Kind with
           | ConvolutionWeight conv when conv.Weight = OneBit -> yield! Agreement.values tensor
           | _ -> () |]

let private initialisation =
    [ for norm in norms do
          test $"{Names.norm norm}: initial weights depend only on the seed" {
              let net = tiny norm
              use _ = torch.rand 7L // earlier random numbers have no effect
              sameBits (initialBits Rule.Corrected 5L net) (initialBits Rule.Corrected 5L net) "seed 5 twice"
              let differing = differences (initialBits Rule.Corrected 5L net) (initialBits Rule.Corrected 6L net)

              Expect.containsAll
                  differing
                  [ "conv1.weight"; "layer1.0.binary_conv.weight"; "fc.weight"; "fc.bias" ]
                  "seeds 5 and 6 differ"
          }

      test "published binary weights are initially non-negative (deviation 9)" {
          let weights = binaryWeights Rule.Published (tiny NoNorm |> Net.withBinarise ActivationsAndWeights)
          Expect.isNonEmpty weights "binary weights"
          Expect.all weights (fun w -> w >= 0.0 && w < 1e-3) "0 to 1e-3"
      }

      test "corrected binary weights are initially symmetric" {
          let weights = binaryWeights Rule.Corrected (tiny NoNorm |> Net.withBinarise ActivationsAndWeights)
          Expect.all weights (fun w -> abs w <= 1e-3) "within 1e-3"
          let negative = weights |> Array.filter (fun w -> w < 0.0) |> Array.length
          // The standard deviation of the fraction is 0.5/√n.
          let fraction = float negative / float weights.Length
          Expect.isLessThan (abs (fraction - 0.5)) (5.0 * 0.5 / sqrt (float weights.Length)) "half of them negative"
      }

      test "A&B BNN's form has slopes of 1/8, α = 0.25, the sigmoid's gradient, and back" {
          let net = tiny BatchNorm
          let form = Net.asAbBnn net
          use network = Network.create torch.ScalarType.Float64 Rule.Published 1L form

          let slopes =
              [ for described, tensor in network.Parameters do
                    if described.Kind = SlopeExponent then
                        Expect.stringEnds described.Key ".exponent" "its name"
                        tensor ]

          Expect.equal slopes.Length 9 "one activation for each layer"

          for tensor in slopes do
              Expect.all (Agreement.values tensor) ((=) -3.0) "2⁻³ = 1/8"

          Expect.equal form.Norm (BnFree 0.25) "α"

          for block in form.Blocks do
              for conv in Blocks.binaryConvolutions block do
                  Expect.equal conv.Sign (SignGradient.SigmoidDerivative 3.0) "the gradient"

          Expect.equal
              (form
               |> Net.withSlopes SlopeKind.Real
               |> Net.withNorm BatchNorm
               |> Net.withSign SignGradient.ApproxSign)
              net
              "real slopes again"
      }

      test "initial real weights are within ±1/√fan_in, gains 1, slopes 0.25, shifts 0" {
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
              | SlopeExponent -> all -3.0
              | ShiftBias
              | NormBias -> all 0.0
      } ]

/// Multiplies the gains of binary, standardised convolutions.
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
              (maxDifference (logits one Evaluate images) (logits preserving Evaluate images))
              apart
              "the factor matters"
          // Nine layers and two projections.
          Expect.equal (raiseGains (sqrt (Math.PI / 2.0)) one) 11 "gains"

          Expect.isLessThan
              (maxDifference (logits one Evaluate images) (logits preserving Evaluate images))
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
          test $"{Names.norm norm}: 52 steps and their evaluations leak no tensor" {
              let recipe = { quick with Epochs = 4; Batch = 10 }
              let before = alive ()
              let counts = ResizeArray()

              let handler =
                  function
                  | EpochDone _ -> counts.Add torch.Tensor.TotalCount
                  | _ -> ()

              let parameters =
                  Pipeline.from (Synthetic.dataset 4L 125 20)
                  |> Pipeline.onEvent handler
                  |> Pipeline.train recipe (tiny norm)
                  |> useTrained (fun trained -> trained.Network.Parameters.Length)

              // A Parameter takes ownership of its tensor, but TorchSharp counts both and later subtracts one. Data-dependent initialisation
              // creates a network of its own. Tensors of other tests may be freed in between.
              let networks = if DataDependentInit.appliesTo (tiny norm) then 2 else 1
              let left = int64 (networks * parameters)
              Expect.isLessThanOrEqual (alive ()) (before + left) "tensors after the network is disposed"

              Expect.isLessThanOrEqual
                  counts[3]
                  counts[1]
                  "tensors after the second and the last epoch, without a collection"
          }

      test "clipping and steps outside a dispose scope leave no tensor to the collector" {
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

/// The leak tests are sequenced because they count all tensors of the process.
let tests =
    testList
        "networks"
        [ testList "evaluation" evaluation
          testList "batches" batches
          testList "accumulation" accumulation
          testList "initialisation" initialisation
          testList "binary gain" gain
          testList "divergence" diverged
          testSequenced (testList "tensors" leaks) ]
