module NormFree.Tests.Cli.BenchTests

open System.Text.Json.Nodes
open Expecto
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
      "classes"
      "batch"
      "image"
      "threads"
      "warm_up"
      "steps" ]
    @ [ "images_per_second"; "peak_memory_mb"; "phase_ms"; "environment"; "profile" ]

let private text (node: JsonNode) (name: string) = (nonNull node[name]).GetValue<string>()
let private number (node: JsonNode) (name: string) = (nonNull node[name]).GetValue<float>()

let tests =
    testList
        "Bench"
        [ test "--json prints one object and nothing else" {
              let result = Tool.runLine $"{tiny} --engine composite --json --profile" |> Tool.succeeds
              Expect.hasLength (Tool.lines result.Out) 1 "lines"
              let json = nonNull (JsonNode.Parse result.Out)
              Expect.equal (names json) members "members"
              Expect.equal (names json["images_per_second"]) [ "median"; "min"; "max" ] "speed"
              Expect.equal (names json["phase_ms"]) [ "data"; "forward"; "backward"; "clip"; "step" ] "phases"

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

          test "without --json it prints tables" {
              let shown = Tool.runLine $"{tiny} --engine composite --binarise activations --profile" |> Tool.succeeds

              for words in
                  [ "reactnet-small, bn-free, activations, batch 8 of 32×32, composite, float32, 1 threads"
                    "images a second"
                    "peak memory"
                    "backward"
                    "layer1.0.binary_conv"
                    "processors" ] do
                  Expect.stringContains shown.Out words "output"
          } ]
