module NormFree.Tests.Spec.CountTests

open Expecto
open NormFree.Spec

let private total side net =
    match Summary.create side side net with
    | Ok summary -> summary.Total
    | Error errors -> failtest $"{errors}"

/// The numbers of parameters with batch norm, no norm and bn-free.
let private parameters name side net (batchNorm: int64) (none: int64) (bnFree: int64) =
    testList
        $"{name} has the published number of parameters"
        [ for norm, expected in [ BatchNorm, batchNorm; NoNorm, none; BnFree 0.2, bnFree ] do
              for binarise in [ Activations; ActivationsAndWeights ] do
                  test $"{Names.norm norm}, {Names.binarise binarise}" {
                      let cost = net |> Net.withNorm norm |> Net.withBinarise binarise |> total side
                      Expect.equal cost.Parameters expected "parameters"
                  } ]

/// In full size, for 32×32 images of 10 classes.
let private cifarParameters name =
    parameters name 32 ((Architecture.tryFind name).Value Size.Full CifarStem |> Net.withClasses 10)

let private macs name net side (binary: int64) (mixed: int64) (real: int64) =
    test $"{name} at {side}×{side} has the published number of operations" {
        let cost = net |> Net.withBinarise ActivationsAndWeights |> total side

        Expect.equal
            (cost.BinaryMacs, cost.MixedMacs, cost.RealMacs)
            (binary, mixed, real)
            "1-bit×1-bit, mixed and real MACs"
    }

let private cifar18 = ReActNet.reactNet18 Size.Full CifarStem |> Net.withClasses 10
let private zeroMean = cifar18 |> Net.withShortcutWeights WeightBinariser.ZeroMean
let private realShortcuts = cifar18 |> Net.withShortcutWeights WeightBinariser.Real

let private ops =
    test "ReActNet-A has the published 0.87e8 OPs" {
        let cost = ReActNet.a |> Net.withBinarise ActivationsAndWeights |> total 224
        Expect.floatClose Accuracy.low (cost.Ops / 1e8) 0.871 "OPs"
    }

let private teachers =
    [ test "resnet-18 has torchvision's 11 689 512 parameters" {
          Expect.equal (total 224 ResNet.r18).Parameters 11689512L "parameters"
      }
      test "resnet-34 has torchvision's 21 797 672 parameters" {
          Expect.equal (total 224 ResNet.r34).Parameters 21797672L "parameters"
      } ]

let private variances =
    let expected rule net = Variance.expected rule 0.2 net.Blocks |> List.map (fun v -> System.Math.Round(v, 10))

    let equal actual expected = Expect.sequenceEqual actual expected "expected variances"

    [ test "published rule, ReActNet-18: the first layer of a stage adds nothing" {
          [ 1.0; 1.0; 1.04; 1.08; 1.12; 1.0; 1.04; 1.08; 1.12; 1.0; 1.04; 1.08; 1.12; 1.0; 1.04; 1.08 ]
          |> equal (expected ExpectedVariance.Published ReActNet.r18)
      }
      test "corrected rule, ReActNet-18: every layer adds α²" {
          [ 1.0; 1.04; 1.08; 1.12; 1.16; 1.04; 1.08; 1.12; 1.16; 1.04; 1.08; 1.12; 1.16; 1.04; 1.08; 1.12 ]
          |> equal (expected ExpectedVariance.Corrected ReActNet.r18)
      }
      test "published rule, ReActNet-A: the variance resets after a stride-2 block" {
          [ 1.0; 1.04; 1.08; 1.12; 1.0; 1.04; 1.08; 1.12 ]
          |> equal (expected ExpectedVariance.Published ReActNet.a |> List.take 8)
      }
      test "corrected rule, ReActNet-A: the variance resets inside the block" {
          [ 1.0; 1.04; 1.08; 1.04; 1.08; 1.12; 1.16; 1.04 ]
          |> equal (expected ExpectedVariance.Corrected ReActNet.a |> List.take 8)
      } ]

let private scaling =
    [ for width in [ 0.1; 0.25; 0.5; 1.5 ] do
          for depth in [ 0.25; 1.0; 2.0 ] do
              for stem in [ CifarStem; ImageNetStem ] do
                  for name, table in Architecture.all do
                      let size = if stem = CifarStem then 32 else 224

                      test $"{name}, {stem}, width {width}, depth {depth} is a valid network for {size}×{size} images" {
                          Expect.isOk (table { Width = width; Depth = depth } stem |> Validation.fits size size) "valid"
                      } ]

let tests =
    testList
        "counts"
        [ parameters "ReActNet-18" 224 ReActNet.r18 11704424L 11694824L 11699624L
          parameters "ReActNet-A" 224 ReActNet.a 29343592L 29321704L 29332648L
          cifarParameters "bireal-18" 11173962L 11164362L 11169162L
          cifarParameters "bireal-34" 21282122L 21265098L 21273610L
          cifarParameters "vgg-small" 4660106L 4656522L 4658314L
          cifarParameters "binary-densenet-28" 4552458L 4533578L 4535722L
          macs "ReActNet-18" ReActNet.r18 224 1676279808L 19267584L 118525952L
          macs "ReActNet-18 with the CIFAR stem" cifar18 32 547356672L 6291456L 1774592L
          macs "ReActNet-18 with zero-mean shortcuts" zeroMean 32 547356672L 6291456L 1774592L
          macs "ReActNet-18 with real shortcuts" realShortcuts 32 547356672L 0L 8066048L
          macs "ReActNet-A" ReActNet.a 224 4816896000L 0L 11862016L
          ops
          testList "teachers" teachers
          testList "expected variance" variances
          testList "scaled tables" scaling ]
