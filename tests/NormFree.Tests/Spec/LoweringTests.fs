/// Lowering turns blocks into graphs.
module NormFree.Tests.Spec.LoweringTests

open Expecto
open NormFree.Spec

let private networks =
    [ for name, table in Architecture.all do
          for stem in [ CifarStem; ImageNetStem ] do
              for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
                  for binarise in [ Activations; ActivationsAndWeights ] do
                      $"{name}, {stem}, {Names.norm norm}, {Names.binarise binarise}",
                      (if stem = CifarStem then 32 else 224),
                      table Size.Full stem |> Net.withNorm norm |> Net.withBinarise binarise ]

let private isSign op =
    match op with
    | Op.Sign _ -> true
    | _ -> false

let private architectures =
    [ for name, size, net in networks do
          test $"{name}: every binary convolution is in a layer with a name of its own" {
              let graph = Lowering.lower net
              let layers = Graph.layers graph
              let convolutions = net.Blocks |> List.collect Blocks.binaryConvolutions

              Expect.hasLength layers convolutions.Length "layers"
              Expect.hasLength (layers |> List.distinctBy _.Name) layers.Length "names"
              Expect.hasLength (Graph.operations graph |> List.filter isSign) layers.Length "signs"

              for layer, conv in List.zip layers convolutions do
                  Expect.equal layer.Convolution.Out conv.Out "channels"
                  Expect.equal layer.Convolution.Sign conv.Sign "gradient"
          }

          test $"{name}: it is valid for images of {size}×{size}" {
              Expect.isOk (Validation.fits size size net) "shapes"
          } ]

let private layer = { Parts.binary "conv" 3 1 8 with Shift = Some "shift" }

let private network blocks =
    Net.create "network" [ Blocks.plain "" [ Parts.conv "conv1" 3 1 8 ]; yield! blocks; Classifier.pooled ]
    |> Net.withExpectedVariance ExpectedVariance.Corrected

/// The graph of the second block.
let private lowered net = Lowering.parts net |> List.item 1 |> snd

let private onlyLayer net =
    match lowered net with
    | Chain [ Layer layer ] -> layer
    | other -> failtest $"{other}"

let private blocks =
    [ test "a residual block with one convolution is one layer, with α and β inside" {
          let first = Blocks.residual "a" Shortcut.Identity [ Part.Binary layer; Parts.norm "bn" ]
          let net = network [ first; { first with Key = "b" } ]
          let second = Lowering.parts net |> List.item 2 |> snd

          match second with
          | Chain [ Layer layer ] ->
              Expect.floatClose Accuracy.veryHigh layer.Convolution.Beta (1.0 / sqrt 1.04) "β"
              Expect.equal layer.Convolution.Alpha 0.2 "α"
              Expect.equal layer.Convolution.Shift (Some "b.shift") "shift"
              Expect.equal (snd layer.Convolution.Convolutions.Head) None "no norm without batch norm"
          | other -> failtest $"{other}"

          let normal = onlyLayer (Net.withNorm BatchNorm net)
          Expect.equal (snd normal.Convolution.Convolutions.Head) (Some "a.bn") "its norm"
          Expect.equal (normal.Convolution.Alpha, normal.Convolution.Beta) (1.0, 1.0) "neither α nor β"
      }

      test "a norm before the sign and an activation after the convolution belong to the layer" {
          let net =
              network
                  [ Blocks.plain "a" [ Parts.norm "before"; Part.Binary layer; Parts.norm "after"; Parts.hardTanh ] ]

          let layer = onlyLayer (Net.withNorm BatchNorm net)
          Expect.equal layer.Convolution.NormBefore (Some "a.before") "before"
          Expect.equal (snd layer.Convolution.Convolutions.Head) (Some "a.after") "after"
          Expect.equal layer.Activation (Some Op.HardTanh) "activation"
          Expect.equal layer.Shortcut NoShortcut "shortcut"
          Expect.equal layer.Convolution.Alpha 1.0 "a plain block has no α"
      }

      test "a shortcut over two convolutions: the first takes β, the last α" {
          let two = [ Part.Binary layer; Part.Binary { layer with Convolutions = [ "conv2" ]; Shift = None } ]

          match lowered (network [ Blocks.residual "a" Shortcut.Identity two ] |> Net.withNorm (BnFree 0.5)) with
          | Chain [ Residual(Chain [ Layer first; Layer second ], RepeatedInput 1) ] ->
              Expect.equal (first.Convolution.Alpha, second.Convolution.Alpha) (1.0, 0.5) "α"
              Expect.equal (second.Convolution.Beta, second.Convolution.Shift) (1.0, None) "the second one's input"
          | other -> failtest $"{other}"
      }

      test "stage 1 has real filters, stage 2 those of each part" {
          let project = { Name = "project"; Norm = "bn"; Weights = WeightBinariser.ZeroMean }

          let net =
              network
                  [ Blocks.residual
                        "a"
                        (Shortcut.AveragePoolProject project)
                        [ Part.Binary { layer with Stride = 2; Weights = WeightBinariser.PlainSign } ] ]

          let weights net =
              let layer = onlyLayer net
              let conv = fst layer.Convolution.Convolutions.Head

              match layer.Shortcut with
              | Pooled { Projection = Some projection } ->
                  (conv.Weight, conv.ScaledSigns), (projection.Convolution.Weight, projection.Centered)
              | other -> failtest $"{other}"

          Expect.equal (weights net) ((Real, false), (Real, false)) "stage 1"

          Expect.equal
              (weights (Net.withBinarise ActivationsAndWeights net))
              ((OneBit, false), (OneBit, true))
              "stage 2"
      } ]

let private depths =
    [ for factor, expected in [ 0.5, [ 2; 2; 2; 2 ]; 1.5, [ 6; 6; 6; 6 ]; 0.01, [ 1; 1; 1; 1 ] ] do
          test $"depth {factor} of ReActNet-18" {
              let net = ReActNet.r18 |> Net.withDepth factor

              for stage, count in List.indexed expected do
                  let keys =
                      [ for block in net.Blocks do
                            if block.Key.StartsWith $"layer{stage + 1}." then
                                block.Key ]

                  Expect.equal keys [ for i in 0 .. count - 1 -> $"layer{stage + 1}.{i}" ] "keys"
          }

      test "depth 0.5 of ReActNet-A halves stages of whole blocks and numbers them anew" {
          let net = ReActNet.a |> Net.withDepth 0.5
          let keys = net.Blocks |> List.map _.Key |> List.distinct
          Expect.equal keys ([ for i in 0..7 -> $"feature.{i}" ] @ [ "" ]) "keys"
          Expect.isOk (Validation.fits 224 224 net) "shapes"
      }

      test "depth 0.5 of BinaryDenseNet-28 halves its dense stages" {
          let net = BinaryDenseNet.denseNet28 { Width = 1.0; Depth = 0.5 } CifarStem
          Expect.equal (Lowering.layers net).Length 11 "layers" // 3 + 3 + 3 + 2 (half of 5, to even)
          Expect.isOk (Validation.fits 32 32 net) "shapes"
      } ]

let tests =
    testList "lowering" [ testList "networks" architectures; testList "blocks" blocks; testList "depth" depths ]
