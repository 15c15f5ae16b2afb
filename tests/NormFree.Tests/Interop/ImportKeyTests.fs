/// Keys of imported files: prefixes, other modules, missing and unexpected ones.
module NormFree.Tests.Interop.ImportKeyTests

open System
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Data
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training

let tests =
    testList
        "keys"
        [ for prefix in
              [ "module."
                "module.module."
                "_orig_mod.module."
                "module._orig_mod."
                "model."
                "model._orig_mod."
                "model.module."
                "backbone."
                "student."
                "net."
                "a.prefix.of.its.own." ] do
              test $"may have the prefix {prefix}" {
                  use folder = new TempFolder()
                  use original = filled f32 (small (BnFree 0.2))

                  use file =
                      original |> file folder (fun (key, dtype, shape, bytes) -> [ prefix + key, dtype, shape, bytes ])

                  let network, report = imported Strict original.Spec file
                  use network = network
                  Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"
                  Expect.equal report.Renamed.Length original.Tensors.Length "renamed"
                  Expect.equal report.Prefix prefix "prefix"
              }

          test "may lie beside those of other modules, which are skipped, but not if the network is incomplete" {
              use folder = new TempFolder()
              use original = filled f32 (small (BnFree 0.2))

              let change lost (key, dtype, shape, bytes) =
                  match key with
                  | "fc.bias" when lost -> []
                  | "fc.bias" -> [ "model.fc.bias", dtype, shape, bytes; "criterion.weight", dtype, shape, bytes ]
                  | "conv1.weight" ->
                      [ "model.conv1.weight", dtype, shape, bytes
                        "model_ema.conv1.weight", dtype, shape, Array.zeroCreate bytes.Length
                        "n_averaged", dtype, shape, bytes ]
                  | _ -> [ "model." + key, dtype, shape, bytes ]

              use whole = original |> file folder (change false)
              let network, report = imported Strict original.Spec whole
              use network = network
              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"

              Expect.equal
                  (set report.Content.Skipped)
                  (set [ "criterion.weight"; "model_ema.conv1.weight"; "n_averaged" ])
                  "skipped"

              use part = original |> file folder (change true)
              Expect.isNonEmpty (refused Strict original.Spec part).Unexpected "unexpected"
          }

          test "of a student are preferred to those of its average" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)

              let change (key, dtype, shape, bytes: byte[]) =
                  [ "ema." + key, dtype, shape, Array.zeroCreate bytes.Length
                    "student_net." + key, dtype, shape, bytes ]

              use file = original |> file folder change
              let network, report = imported Strict original.Spec file
              use network = network
              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"
              Expect.equal report.Prefix "student_net." "prefix"
          }

          test "of another network show their common prefix" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)

              use file =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) -> [ $"encoder.{key}_", dtype, shape, bytes ])

              Expect.contains
                  (refused Strict original.Spec file).Problems
                  "every key of the file starts with 'encoder.'"
                  "problems"
          }

          test "that are missing, unexpected or of another shape are all listed" {
              use folder = new TempFolder()
              use original = filled f32 (small (BnFree 0.2))

              let change (key, dtype, shape, bytes) =
                  match key with
                  | "layer1.0.move0.bias"
                  | "fc.bias" -> []
                  | "conv1.weight" -> [ key, dtype, [| 8L; 27L |], bytes ]
                  | "fc.weight" -> [ key, DType.I32, shape, bytes ]
                  | "conv1.gain" ->
                      [ key, dtype, shape, bytes; "module.conv1.gain", dtype, shape, bytes; "ema", dtype, shape, bytes ]
                  | _ -> [ key, dtype, shape, bytes ]

              use file = original |> file folder change
              let report = refused Strict original.Spec file
              Expect.equal report.Missing [ "layer1.0.move0.bias"; "fc.bias" ] "missing"
              Expect.equal (set report.Unexpected) (set [ "module.conv1.gain"; "ema" ]) "unexpected"

              Expect.equal
                  (string report |> _.Split('\n') |> Array.toList)
                  [ "missing in the file (2):"
                    "  layer1.0.move0.bias"
                    "  fc.bias"
                    "unexpected in the file (2):"
                    "  ema"
                    "  module.conv1.gain"
                    "of another shape or type (2):"
                    "  conv1.weight: [8, 27] of F32 in the file, [8, 3, 3, 3] of real numbers in the network"
                    "  fc.weight: [10, 32] of I32 in the file, [10, 32] of real numbers in the network" ]
                  "lines"

              let network, partial = imported Partial original.Spec file
              use network = network
              Expect.equal partial report "the report of a partial import is the same"

              let differing = Support.differences (Support.tensorBits original) (Support.tensorBits network)
              Expect.equal (set differing) (set (report.Missing @ [ "conv1.weight"; "fc.weight" ])) "the rest is loaded"
          }

          test "that are unexpected by the thousand and hold terminal escapes are ten harmless lines and a count" {
              use folder = new TempFolder()
              use original = filled f32 (small (BnFree 0.2))

              let change (key, dtype, shape, bytes) =
                  match key with
                  | "fc.bias" -> [ for i in 1..1000 -> $"\u001b[2J\u202e{i}", dtype, shape, bytes ]
                  | _ -> [ key, dtype, shape, bytes ]

              use file = original |> file folder change
              let report = refused Strict original.Spec file
              Expect.hasLength report.Unexpected 1000 "unexpected"
              let lines = report.Problems |> List.skipWhile (fun line -> not (line.StartsWith "unexpected"))
              Expect.hasLength lines 12 "lines"
              Expect.equal (List.item 1 lines) "  \\u001b[2J\\u202e1" "a key"
              Expect.equal (List.last lines) "  and 990 more, 1000 in all" "count"
          }

          test "of counters of batches may all be absent, as in files from before PyTorch 0.4.1, but not some" {
              use folder = new TempFolder()
              use original = filled f32 (small BatchNorm)
              let isCounter (key: string) = key.EndsWith("num_batches_tracked", StringComparison.Ordinal)

              use old =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) ->
                      if isCounter key then [] else [ key, dtype, shape, bytes ])

              let network, report = imported Strict original.Spec old
              use network = network

              Expect.equal
                  report.Counters
                  (original.Tensors |> List.filter (fst >> isCounter) |> List.length)
                  "counters"

              Support.sameBits (Support.tensorBits original) (Support.tensorBits network) "network"

              use damaged =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) ->
                      if key = "bn1.num_batches_tracked" then [] else [ key, dtype, shape, bytes ])

              Expect.equal (refused Strict original.Spec damaged).Missing [ "bn1.num_batches_tracked" ] "missing"
          }

          test "of which none fits are refused by a partial import too" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)

              use file =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) -> [ "student/" + key, dtype, shape, bytes ])

              Expect.equal (refused Partial original.Spec file).Loaded 0 "loaded"
          }

          test "of the original repository are flat only where they say so" {
              use folder = new TempFolder()
              use original = filled f32 (small NoNorm)
              let flat (shape: int64[]) = [| Array.fold (*) 1L shape; 1L |]

              use file =
                  original
                  |> file folder (fun (key, dtype, shape, bytes) ->
                      [ key, dtype, (if shape.Length = 4 then flat shape else shape), bytes ])

              Expect.isNonEmpty (refused Strict original.Spec file).Misshapen "misshapen"
          } ]
