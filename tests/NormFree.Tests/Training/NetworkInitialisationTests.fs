/// Initial weights.
module NormFree.Tests.Training.NetworkInitialisationTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp
open NormFree.Tests.Training.NetworkSupport

let private initialBits rule seed net =
    use network = Network.create torch.ScalarType.Float32 rule seed net
    tensorBits network

let private binaryWeights rule net =
    use network = Network.create torch.ScalarType.Float64 rule 1L net

    [| for described, tensor in network.Parameters do
           match described.Kind with
           | ConvolutionWeight conv when conv.Weight = OneBit -> yield! Agreement.values tensor
           | _ -> () |]

let initialisation =
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
