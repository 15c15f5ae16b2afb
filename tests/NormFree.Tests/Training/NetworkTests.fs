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
open NormFree.Tests.Training.Support
open TorchSharp
open NormFree.Tests.Training.NetworkSupport

let private stages = [ Activations; ActivationsAndWeights ]

/// The networks without and with batch norm, in both stages.
let private withoutBatchNorm, private withBatchNorm =
    [ for norm in norms do
          for binarise in stages -> Net.withBinarise binarise (tiny norm) ]
    |> List.partition (fun net -> normName net <> "batch-norm")

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
          testList "initialisation" NetworkInitialisationTests.initialisation
          testList "binary gain" gain
          testList "divergence" diverged
          testSequenced (testList "tensors" leaks) ]
