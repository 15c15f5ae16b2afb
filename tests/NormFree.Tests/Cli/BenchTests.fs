module NormFree.Tests.Cli.BenchTests

open System
open System.Text.Json.Nodes
open Expecto
open NormFree.Kernels.Simd
open NormFree.Tests.Cli

let private tiny =
    "bench train --arch reactnet-small --width 0.34 --batch 8 --warm-up 1 --steps 2 --threads 1"

let private names (node: JsonNode | null) =
    match node with
    | :? JsonObject as members -> [ for KeyValue(name, _) in members -> name ]
    | _ -> failtest $"no object: {node}"

let private members =
    [ "engine"
      "precision"
      "arch"
      "norm"
      "binarise"
      "sign_centering"
      "classes"
      "batch"
      "ranks"
      "accumulate"
      "image"
      "threads"
      "warm_up"
      "steps" ]
    @ [ "images_per_second"
        "peak_memory_mb"
        "phase_ms"
        "exchange"
        "scaling"
        "environment"
        "profile" ]

let private text (node: JsonNode) (name: string) = (nonNull node[name]).GetValue<string>()
let private number (node: JsonNode) (name: string) = (nonNull node[name]).GetValue<float>()

let private tinyInfer =
    "bench infer --arch reactnet-small --width 0.34 --batch 2 --warm-up 1 --runs 3 --seconds 0 --threads 1"

let private inferMembers =
    [ "engine"
      "layout"
      "arch"
      "norm"
      "classes"
      "batch"
      "image"
      "threads"
      "warm_up"
      "runs"
      "latency_ms" ]
    @ [ "images_per_second"; "peak_memory_mb"; "environment" ]

let private infer =
    [ for engine in [ "packed"; "torch"; "onnxruntime"; "onnxruntime-int8" ] do
          test $"infer --engine {engine} --json prints one object and nothing else" {
              let result = Tool.runLine $"{tinyInfer} --engine {engine} --norm batch-norm --json" |> Tool.succeeds
              Expect.hasLength (Tool.lines result.Out) 1 "lines"
              let json = nonNull (JsonNode.Parse result.Out)
              Expect.equal (names json) inferMembers "members"
              Expect.equal (names json["latency_ms"]) [ "median"; "p95" ] "latency"

              for name, value in [ "engine", engine; "arch", "reactnet-small"; "norm", "batch-norm" ] do
                  Expect.equal (text json name) value name

              for name, value in [ "batch", 2.0; "image", 32.0; "threads", 1.0; "warm_up", 1.0; "runs", 3.0 ] do
                  Expect.equal (number json name) value name

              let median = number (nonNull json["latency_ms"]) "median"
              Expect.floatClose Accuracy.low (number json "images_per_second") (2000.0 / median) "speed"
              Expect.isGreaterThan (number json "peak_memory_mb") 20.0 "memory"
              let layout = json["layout"]
              Expect.equal (isNull layout) (engine <> "torch") "torch's layout is reported"
          }

      test "infer without --json prints a table" {
          let shown = Tool.runLine $"{tinyInfer} --engine packed" |> Tool.succeeds

          for words in
              [ "reactnet-small, bn-free, batch 2 of 32×32, packed, 1 threads"
                "median ms"
                "of 3 runs"
                "peak memory"
                "processors" ] do
              Expect.stringContains shown.Out words "output"
      } ]

/// Instruction sets are chosen once per process.
let private instructions =
    [ for set in InstructionSets.Supported do
          let name = (string set).ToLowerInvariant()

          for command in [ $"{tiny} --json"; $"{tinyInfer} --engine packed --json" ] do
              test $"{command} --instructions {name}" {
                  let words = $"{command} --instructions {name}".Split ' ' |> Array.toList
                  let result = Tool.runProcess words |> Tool.succeeds
                  let json = nonNull (JsonNode.Parse result.Out)
                  Expect.equal (text (nonNull json["environment"]) "instructions") name "the set that was used"
              }

      for set in Enum.GetValues<InstructionSet>() do
          if not (InstructionSets.IsSupported set) then
              let name = (string set).ToLowerInvariant()

              test $"{name}, which this processor does not have, is an error" {
                  Tool.runProcess [ "bench"; "infer"; "--instructions"; name ]
                  |> Tool.fails 2 [ $"--instructions {name}: this processor does not have it"; "scalar" ]
              }

      test "ONNX Runtime cannot be limited" {
          let best = (string InstructionSets.Best).ToLowerInvariant()
          let words = $"{tinyInfer} --engine onnxruntime --instructions {best}".Split ' ' |> Array.toList
          let result = Tool.runProcess words
          Expect.equal result.Code 0 "exit code"
          Expect.stringContains result.Err "ONNX Runtime cannot be limited" "warning"
      } ]

let private kernelMembers = [ "threads"; "rooflines"; "layers"; "environment" ]

let private kernels =
    [ test "kernels --json prints one object and nothing else" {
          let result =
              Tool.run [ "bench"; "kernels"; "--only"; "512→512 @ 4²"; "--seconds"; "0"; "--json" ]
              |> Tool.succeeds

          let json = nonNull (JsonNode.Parse result.Out)
          Expect.equal (names json) kernelMembers "members"
          let first (name: string) (node: JsonNode) = nonNull ((nonNull node[name]).AsArray()[0])

          Expect.equal
              (names (first "rooflines" json))
              [ "instruction_set"
                "operations"
                "gmacs_per_second"
                "l1_gb_per_second"
                "l2_gb_per_second"
                "memory_gb_per_second" ]
              "roofline"

          let layer = first "layers" json
          Expect.equal (names layer) [ "network"; "layer"; "macs"; "speeds" ] "layer"

          Expect.equal
              (names (first "speeds" layer))
              [ "instruction_set"; "gmacs_per_second"; "roof_gmacs_per_second"; "share_of_roofline" ]
              "speed"
      }

      test "layers are named as keyboards have them" {
          let shown =
              Tool.run [ "bench"; "kernels"; "--only"; "REACTNET-18, 32x32 3x3 512->512 @ 4^2"; "--seconds"; "0" ]

          Expect.stringContains (Tool.succeeds shown).Out "3×3 512→512 @ 4²" "layer"
      }

      test "kernels without --json prints tables" {
          let shown = Tool.run [ "bench"; "kernels"; "--only"; "512→512 @ 4²"; "--seconds"; "0" ] |> Tool.succeeds

          for words in [ "GMAC/s in registers"; "3×3 512→512 @ 4²"; "Scalar"; "share"; "processors" ] do
              Expect.stringContains shown.Out words "output"
      } ]

let private train =
    [ test "--json prints one object and nothing else" {
          let result = Tool.runLine $"{tiny} --engine composite --json --profile" |> Tool.succeeds
          Expect.hasLength (Tool.lines result.Out) 1 "lines"
          let json = nonNull (JsonNode.Parse result.Out)
          Expect.equal (names json) members "members"
          Expect.equal (names json["images_per_second"]) [ "median"; "min"; "max" ] "speed"
          Expect.equal (names json["phase_ms"]) [ "data"; "forward"; "backward"; "exchange"; "clip"; "step" ] "phases"

          for name, value in
              [ "engine", "composite"
                "precision", "float32"
                "arch", "reactnet-small"
                "norm", "bn-free"
                "binarise", "activations+weights" ] do
              Expect.equal (text json name) value name

          for name, value in [ "batch", 8.0; "image", 32.0; "threads", 1.0; "steps", 2.0 ] do
              Expect.equal (number json name) value name

          Expect.isGreaterThan (number json "peak_memory_mb") 50.0 "memory"
          let layers = (nonNull json["profile"]).AsArray()

          for layer in layers do
              Expect.equal (names layer) [ "name"; "forward_ms"; "backward_ms" ] "layer"

          Expect.equal (text (nonNull layers[0]) "name") "conv1" "first layer"
          let backward = (nonNull layers[0]).["backward_ms"]
          Expect.isNull backward "its backward pass, which this engine does not tell"
      }

      test "--predict measures a smaller batch as well, and prints a table of nodes" {
          let shown =
              Tool.runLine $"{tiny} --predict 1,8,512 --bandwidth 25 --latency 5 --accumulate 2" |> Tool.succeeds

          for words in
              [ "Predicted at 25.00 Gbit/s and 5 µs"
                "accumulated parts 2"
                "one batch for all"
                "512 nodes"
                "efficiency" ] do
              Expect.stringContains shown.Out words "output"
      }

      test "without --json it prints tables" {
          let shown = Tool.runLine $"{tiny} --engine composite --binarise activations --profile" |> Tool.succeeds

          for words in
              [ "reactnet-small, bn-free, activations, batch 8 of 32×32, composite, float32, 1 threads, sign centering"
                "images a second"
                "peak memory"
                "backward"
                "layer1.0.binary_conv"
                "processors" ] do
              Expect.stringContains shown.Out words "output"
      } ]

/// Sequenced: what is measured takes all processors.
let tests = testSequenced <| testList "Bench" (train @ infer @ instructions @ kernels)
