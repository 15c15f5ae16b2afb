/// The functions that change networks work on every architecture.
module NormFree.Tests.Spec.ArchitectureTests

open Expecto
open NormFree.Spec

let private fits what net = Expect.isOk (Validation.fits 32 32 net) what

let private changes =
    [ "another stem",
      fun net ->
          net
          |> Net.withStem (Net.stem net |> fun stem -> { stem with Branch = stem.Branch @ [ Parts.hardTanh ] })
      "3 classes", Net.withClasses 3
      "no norm", Net.withNorm NoNorm
      "binary weights", Net.withBinarise ActivationsAndWeights
      "another gradient", Net.withSign (SignGradient.SwishSign 5.0)
      "plain signs", Net.withWeights WeightBinariser.PlainSign
      "real shortcuts", Net.withShortcutWeights WeightBinariser.Real
      "another activation", Net.mapBlocks (Blocks.mapActivations (fun _ -> Activation.HardTanh))
      "twice the depth after half the width", Net.withWidth 0.5 >> Net.withDepth 2.0
      "half the depth, then half the width", Net.withDepth 0.5 >> Net.withWidth 0.5 ]

/// The factor of α in front of the branches that have one, and the β in front of the signs.
let private factors (net: NetSpec) =
    Lowering.layers net |> List.map (fun layer -> layer.Convolution.Alpha, layer.Convolution.Beta)

let private rules =
    [ for name in [ "vgg-small"; "binary-mlp"; "binary-densenet-28" ] do
          test $"{name} has no residual blocks, so neither α nor β" {
              let net = (Architecture.tryFind name).Value Size.Full CifarStem
              Expect.all (factors net) (fun found -> found = (1.0, 1.0)) "factors"
          }

      for name in [ "bireal-18"; "quicknet" ] do
          test $"β of each layer of {name} is 1/√v, where v grows by α² and starts anew after a change of the map" {
              let net = (Architecture.tryFind name).Value Size.Full CifarStem
              let expected = Variance.expected ExpectedVariance.Corrected 0.2 net.Blocks
              Expect.hasLength (factors net) expected.Length "residual layers"

              for (_, beta), variance in List.zip (factors net) expected do
                  Expect.floatClose Accuracy.veryHigh (1.0 / (beta * beta)) variance "v"
          }

      test "every layer of bireal-18 has α" {
          let net = BiRealNet.biReal18 Size.Full CifarStem
          Expect.all (factors net) (fun (alpha, _) -> alpha = 0.2) "α"
      }

      test "an activation in the branch comes before α" {
          let net = QuickNet.quickNet Size.Full CifarStem
          let scales = Graph.operations (Lowering.lower net) |> List.filter (fun op -> op = Op.Scale 0.2)
          Expect.all (factors net) (fun (alpha, _) -> alpha = 1.0) "α of the convolutions"
          Expect.hasLength scales (Net.residualBlocks net).Length "α of the branches"
      }

      test "a shortcut over two layers: β is before the first sign and α after the second convolution" {
          let net = XnorResNet.xnorResNet18 Size.Full CifarStem

          for first, second in factors net |> List.chunkBySize 2 |> List.map (fun pair -> pair[0], pair[1]) do
              Expect.equal (fst first) 1.0 "α of the first"
              Expect.equal second (0.2, 1.0) "α and β of the second"
      }

      test "the factor of one-bit filters restores unit variance: √(π/2), and 1/√fan-in for plain signs" {
          let factor weights =
              VggSmall.vggSmall Size.Full CifarStem
              |> Net.withWeights weights
              |> Net.withBinaryGain BinaryGain.VariancePreserving
              |> Net.withBinarise ActivationsAndWeights
              |> Lowering.layers
              |> List.map (fun layer -> (fst layer.Convolution.Convolutions.Head).Factor)
              |> List.head

          Expect.equal (factor WeightBinariser.Binary) (sqrt (System.Math.PI / 2.0)) "mean|v|·sign(v)"
          Expect.equal (factor WeightBinariser.PlainSign) (1.0 / sqrt (128.0 * 9.0)) "sign(v)"
          Expect.equal (factor WeightBinariser.Real) 1.0 "v"
      } ]

let tests =
    testList
        "architectures"
        [ for name, table in Architecture.all do
              for what, change in changes do
                  test $"{name} with {what} is valid" {
                      let net = change (table Size.Full CifarStem)
                      fits what net
                      Expect.equal (Net.isBinary net) (Net.isBinary (table Size.Full CifarStem)) "still binary"
                  }
          yield! rules ]
