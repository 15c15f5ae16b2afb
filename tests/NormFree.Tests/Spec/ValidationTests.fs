module NormFree.Tests.Spec.ValidationTests

open Expecto
open NormFree.Spec

let private mapLayer index change net =
    net
    |> Net.mapBinary (fun body ->
        { body with
            Layers = body.Layers |> List.mapi (fun i layer -> if i = index then change layer else layer) })

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
              |> mapLayer 1 (fun layer -> { layer with Kernel = 4 })
              |> mapLayer 3 (fun layer -> { layer with In = 7 })
              |> mentions
                  [ "at least 2 classes"
                    "α must be from 1e-30 to 1e30"
                    "kernel must be odd"
                    "it takes 7 channels" ]
          }
          test "the scaled ablation's α is validated like that of bn-free" {
              ReActNet.small |> Net.withNorm (Scaled nan) |> mentions [ "α must be from 1e-30 to 1e30" ]
          }
          for what, variances in [ "too few", [ 1.0 ]; "one is 0", [ for i in 0..8 -> float (i % 8) ] ] do
              test $"measured variances, {what}" {
                  ReActNet.small
                  |> Net.withExpectedVariance (ExpectedVariance.Measured variances)
                  |> mentions [ "a variance from 1e-30 to 1e30 for each of its 9 layers" ]
              }
          test "every number has an upper bound" {
              let net = ReActNet.small |> Net.withClasses 2_000_000_000 |> Net.withNorm (BnFree 1e31)

              { net with Stem = { net.Stem with Channels = 65_537; Kernel = 257; Stride = 256 } }
              |> mapLayer 1 (fun layer -> { layer with In = 1 <<< 24; Kernel = 257 })
              |> mentions
                  [ "at most 10000000 classes"
                    "α must be from"
                    "stem: at most 65536 channels"
                    "stem: the kernel may be at most 255"
                    "stem: the stride may be at most 255"
                    "layer1.1: at most 65536 channels"
                    "layer1.1: the kernel may be at most 255" ]

              let many = (Net.binaryBody net).Value.Layers |> List.head |> List.replicate 4097
              net |> Net.mapBinary (fun body -> { body with Layers = many }) |> mentions [ "at most 4096 layers" ]
          }
          test "a shortcut that does not match its layer is an error with its requirements" {
              ReActNet.small
              |> mapLayer 3 (fun layer -> { layer with Shortcut = Identity })
              |> mentions [ "layer2.0: an Identity shortcut needs equal channels and stride 1" ]
          }
          test "duplicate parameter names are an error" {
              ReActNet.small
              |> mapLayer 1 (fun layer -> { layer with Key = "layer1.0" })
              |> mentions [ "2 parameters have this name" ]
          }
          test "a network without layers is an error" {
              ReActNet.small |> Net.mapBinary (fun body -> { body with Layers = [] }) |> mentions [ "no layers" ]
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
