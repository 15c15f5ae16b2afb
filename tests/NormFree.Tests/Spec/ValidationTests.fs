module NormFree.Tests.Spec.ValidationTests

open Expecto
open NormFree.Spec

/// Changes the block of the binary layer with this number, from 0.
let private mapLayer index change (net: NetSpec) =
    { net with
        Blocks = net.Blocks |> List.mapi (fun i block -> if i = index + 1 then change block else block) }

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
              { ReActNet.small with Blocks = [] }
              |> mentions [ "at least two blocks"; "end with Classifier.pooled" ]

              { ReActNet.small with Blocks = List.rev ReActNet.small.Blocks }
              |> mentions [ "end with Classifier.pooled" ]
          }
          test "sizes that overflow are errors" {
              let strides = [ for i in 1..32 -> Parts.conv $"conv{i}" 1 2 48 ]
              let project = Shortcut.Project { Name = "project"; Norm = "bn"; Weights = WeightBinariser.Real }

              ReActNet.small
              |> mapLayer 3 (fun block -> { block with Branch = strides; Shortcut = project })
              |> mentions [ "layer2.0: a Project shortcut needs a stride of at most 255" ]

              ReActNet.small
              |> mapLayer 4 (fun block ->
                  { block with After = [ Part.Flatten 255; Part.Flatten 255; Part.Flatten 255 ] })
              |> mentions [ "layer2.1, after part 2: a flattened map has at most 16777216 values, not 202956030000" ]

              ReActNet.small
              |> mapLayer 4 (fun block -> { block with After = List.replicate 300 Parts.relu })
              |> mentions [ "layer2.1: at most 256 parts are allowed, not 302" ]

              BinaryDenseNet.denseNet28 Size.Full CifarStem
              |> Net.mapBlocks (Blocks.mapBinary (fun conv -> { conv with Out = 65_536 }))
              |> mentions [ "features.0: at most 65536 channels after the concatenation are allowed, not 65600" ]

              BinaryMlp.binaryMlp Size.Full CifarStem
              |> Net.mapBlocks (Blocks.mapBinary (fun conv -> { conv with Out = 65_536 }))
              |> mentions [ "binary-mlp: at most 2147483647 values of parameters are allowed, not 4430890984" ]
          }
          test "names of parameters that other programs cannot read are errors" {
              for name in [ ""; "a b"; "a/b"; "ä"; "a\n" ] do
                  ReActNet.small
                  |> mapConvolution 1 (fun conv -> { conv with Shift = Some name })
                  |> mentions [ "layer1.1, branch part 1: a parameter's name needs letters" ]

                  if name <> "" then
                      ReActNet.small
                      |> mapLayer 1 (fun block -> { block with Key = name })
                      |> mentions [ "a parameter's name needs letters" ]
          }
          test "a parameter with the name of a batch norm's running mean is an error" {
              ReActNet.small
              |> Net.withNorm BatchNorm
              |> mapConvolution 1 (fun conv -> { conv with Shift = Some "bn1.running_mean" })
              |> mentions [ "layer1.1.bn1.running_mean: 2 parameters have this name" ]
          }
          test "standardised filters of one weight are an error" {
              let net =
                  ReActNet.small
                  |> mapLayer 1 (fun block ->
                      { block with
                          After = [ Part.Conv { Name = "depthwise"; Out = 24; Kernel = 1; Stride = 1; Groups = 24 } ] })

              net |> mentions [ "layer1.1.depthwise: its filters have one weight each" ]
              Expect.isOk (net |> Net.withNorm NoNorm |> Validation.validate) "without standardisation"
          }
          test "a linear layer beside a shortcut is an error" {
              let head = Blocks.residual "head" Shortcut.Identity Classifier.pooled.Branch

              { ReActNet.small with Blocks = List.take 10 ReActNet.small.Blocks @ [ head ] }
              |> mentions [ "in the branch beside a shortcut" ]
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
