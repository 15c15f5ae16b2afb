module NormFree.Tests.Spec.ValidationTests

open Expecto
open NormFree.Spec

/// Changes the block of the binary layer with this number, from 0.
let private mapLayer index change (net: NetSpec) =
    { net with Blocks = net.Blocks |> List.mapi (fun i block -> if i = index + 1 then change block else block) }

let private mapConvolution index change = mapLayer index (Blocks.mapBinary change)

let private errors net =
    match Validation.validate net with
    | Ok _ -> []
    | Error errors -> errors |> List.map string

let private mentions (parts: string list) net =
    let found = errors net

    for part in parts do
        Expect.exists found (fun error -> error.Contains part) $"an error containing '{part}' in {found}"

let tests =
    testList
        "validation"
        [ test "all errors are returned" {
              ReActNet.small
              |> Net.withClasses 1
              |> Net.withNorm (BnFree -1.0)
              |> mapConvolution 1 (fun conv -> { conv with Kernel = 4 })
              |> mapConvolution 3 (fun conv -> { conv with Sign = SignGradient.StraightThrough 0.0; Groups = 5 })
              |> mapLayer 4 (fun block -> { block with Branch = block.Branch @ [ Part.Norm [ "a"; "b" ] ] })
              |> mentions
                  [ "at least 2 classes"
                    "α must be from 1e-30 to 1e30"
                    "layer1.1, branch part 1: the kernel must be odd"
                    "layer2.0, branch part 1: the bound of the sign's gradient"
                    "layer2.0, branch part 1: 24 inputs and 48 outputs cannot be split into 5 groups"
                    "layer2.1, branch part 3: a norm needs one name" ]
          }
          test "the scaled ablation's α is validated like that of bn-free" {
              ReActNet.small |> Net.withNorm (Scaled nan) |> mentions [ "α must be from 1e-30 to 1e30" ]
          }
          for what, variances in [ "too few", [ 1.0 ]; "one is 0", [ for i in 0..8 -> float (i % 8) ] ] do
              test $"measured variances, {what}" {
                  ReActNet.small
                  |> Net.withExpectedVariance (ExpectedVariance.Measured variances)
                  |> mentions [ "a variance from 1e-30 to 1e30 for each of its 9 residual blocks" ]
              }
          test "every number has an upper bound" {
              let net = ReActNet.small |> Net.withClasses 2_000_000_000 |> Net.withNorm (BnFree 1e31)

              net
              |> Net.withStem (Blocks.plain "" [ Parts.conv "conv1" 257 256 65_537; Part.Flatten 256 ])
              |> mapConvolution 1 (fun conv -> { conv with Out = 1 <<< 24; Kernel = 257; Dilation = 256 })
              |> mentions
                  [ "at most 10000000 classes"
                    "α must be from"
                    "stem, branch part 1: at most 65536 channels"
                    "stem, branch part 1: the kernel must be from 1 to 255"
                    "stem, branch part 1: the stride must be from 1 to 255"
                    "stem, branch part 2: the side must be from 1 to 255"
                    "layer1.1, branch part 1: at most 65536 channels"
                    "layer1.1, branch part 1: the kernel must be from 1 to 255"
                    "layer1.1, branch part 1: the dilation must be from 1 to 255" ]

              { net with Blocks = List.replicate 4097 net.Blocks[1] } |> mentions [ "at most 4096 blocks" ]
          }
          test "a shortcut that does not match its layer is an error with its requirements" {
              ReActNet.small
              |> mapLayer 3 (fun block -> { block with Shortcut = Shortcut.Identity })
              |> mentions [ "layer2.0: an Identity shortcut needs equal channels and stride 1" ]
          }
          test "duplicate parameter names are an error" {
              ReActNet.small
              |> mapLayer 1 (fun block -> { block with Key = "layer1.0" })
              |> mentions [ "2 parameters have this name" ]
          }
          test "a network without blocks, or without a classifier at its end, is an error" {
              { ReActNet.small with Blocks = [] } |> mentions [ "at least two blocks"; "end with Classifier.pooled" ]
              { ReActNet.small with Blocks = List.rev ReActNet.small.Blocks } |> mentions [ "end with Classifier.pooled" ]
          }
          test "zero-mean filters on signs are an error" {
              ReActNet.small |> Net.withWeights WeightBinariser.ZeroMean |> mentions [ "shortcuts only" ]
          }
          test "an image size that the network cannot halve is an error with a remedy" {
              match ReActNet.small |> Validation.fits 30 30 with
              | Ok _ -> failtest "30×30 images passed"
              | Error errors -> Expect.stringContains (string errors.Head) "a multiple of 32" "the remedy"
          }
          test "replacing the norm and restoring it gives the original network" {
              let changed = ReActNet.r18 |> Net.withNorm NoNorm |> Net.withNorm (BnFree 0.2)
              Expect.equal changed ReActNet.r18 "round trip"
          } ]
