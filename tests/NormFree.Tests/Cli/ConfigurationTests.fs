/// Configurations of runs: files, options over them, and run.json.
module NormFree.Tests.Cli.ConfigurationTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Cli
open NormFree.Runs
open NormFree.Spec
open NormFree.Tests.Cli

let private write name (text: string) =
    let path = Tool.scratch.File name
    File.WriteAllText(path, text)
    path

/// The configuration of a command line.
let private resolved words = Parser.parse CommandTable.Networks.train words |> TrainSettings.resolve

let private printed words = (Tool.run ("train" :: "--print-config" :: words) |> Tool.succeeds).Out

let private file name text = [ "--config"; write name text ]

let private files =
    [ test "what --print-config prints is read by --config, and means the same" {
          let words =
              [ "--arch"; "reactnet-a"; "--norm"; "scaled:0.5"; "--clip"; "none"; "--schedule"; "step:3:0.5" ]

          let text = printed (words @ [ "--telemetry"; "off"; "--width"; "0.5"; "--seed"; "7" ])
          Expect.equal (printed (file "printed.json" text)) text "printed again"
      }

      test "bf16 becomes float32, with a warning, where the instructions for it are missing" {
          let result =
              Tool.runProcess [ "train"; "--print-config"; "--precision"; "bf16"; "--instructions"; "scalar" ]

          Expect.equal result.Code 0 result.Err
          Expect.stringContains result.Out "\"Precision\": \"float32\"" "precision"
          Expect.stringContains result.Err "bf16 would be slower than float32" "the warning"
      }

      test "a file with comments and trailing commas changes the defaults that it names" {
          let configuration =
              resolved (
                  file
                      "comments.json"
                      """{
  // The network.
  "Network": { "Architecture": "reactnet-18", "Norm": "BatchNorm", },
  /* Only stage 1. */
  "Stage1": { "Epochs": 7 }, "Stage2": null,
}"""
              )

          Expect.equal configuration.Network.Architecture "reactnet-18" "architecture"
          Expect.equal configuration.Network.Norm (Some BatchNorm) "norm"
          Expect.equal (configuration.Stage1 |> Option.map _.Epochs) (Some 7) "epochs"
          Expect.equal (configuration.Stage1 |> Option.map _.Batch) (Some 64) "batch, the default"
          Expect.isNone configuration.Stage2 "stage 2"
      }

      test "options override the file, in both stages" {
          let path =
              write "override.json" """{ "Stage1": { "Epochs": 7, "Batch": 9 }, "Execution": { "Threads": 1 } }"""

          let configuration = resolved [ "--config"; path; "--epochs"; "3"; "--norm"; "none" ]
          Expect.equal (configuration.Stage1 |> Option.map (fun r -> r.Epochs, r.Batch)) (Some(3, 9)) "stage 1"
          Expect.equal (configuration.Stage2 |> Option.map (fun r -> r.Epochs, r.Batch)) (Some(3, 64)) "stage 2"
          Expect.equal configuration.Execution.Threads (Some 1) "threads"
          Expect.equal configuration.Network.Norm (Some NoNorm) "norm"
      }

      test "options with their defaults change nothing" {
          let defaults =
              [ for spec in CommandTable.Networks.train.Options do
                    if spec.Default <> "" && spec.Name <> "--recipe" then
                        spec.Name
                        spec.Default ]

          Expect.equal (resolved defaults) (resolved []) "configuration"
      }

      test "A&B BNN's recipe brings its form of the network; options override it" {
          let configuration = resolved [ "--recipe"; "ab-bnn"; "--epochs"; "2"; "--slopes"; "real" ]
          let network = configuration.Network
          Expect.equal network.Norm (Some(BnFree 0.25)) "α"
          Expect.equal network.Sign (Some(SignGradient.SigmoidDerivative 3.0)) "gradient"
          Expect.equal network.Slopes (Some SlopeKind.Real) "slopes, as given"
          Expect.equal (configuration.Stage1 |> Option.map (fun r -> r.WeightDecay, r.Epochs)) (Some(5e-6, 2)) "stage 1"

          Expect.equal
              (configuration.Stage2 |> Option.map (fun r -> r.WeightDecay, r.Clip))
              (Some(0.0, Agc 0.001))
              "stage 2"
      }

      test "given shortcut weights are not replaced by the recipe's" {
          let rules arguments =
              let configuration = resolved arguments

              [ for recipe in List.choose id [ configuration.Stage1; configuration.Stage2 ] ->
                    recipe.Deviations.ShortcutWeights ]

          Expect.equal (rules []) [ Rule.Corrected; Rule.Corrected ] "by default, the recipe chooses"
          Expect.equal (rules [ "--shortcut"; "binary" ]) [ Rule.Published; Rule.Published ] "given by an option"
          let path = write "shortcut.json" """{ "Network": { "Shortcut": "Binary" } }"""
          Expect.equal (rules [ "--config"; path ]) [ Rule.Published; Rule.Published ] "given by a file"
      }

      test "a full-precision network has neither norm nor stage 2" {
          let configuration = resolved [ "--arch"; "resnet-18" ]
          Expect.isNone configuration.Network.Norm "norm"
          Expect.isNone configuration.Stage2 "stage 2"
      }

      test "a checkpoint to start from replaces stage 1" {
          let configuration = resolved [ "--init"; "x" ]
          Expect.isNone configuration.Stage1 "stage 1"
          Expect.isSome configuration.Stage2 "stage 2"
          Expect.isNone (resolved [ "--init"; "x"; "--binarise"; "activations" ]).Stage2 "stage 2"
      } ]

let private mistakes =
    [ for name, text, words in
          [ "an unknown field",
            "{\n  \"Network\": {\n    \"Archtecture\": \"x\" } }",
            [ "line 3"; "Network.Archtecture"; "'Architecture'" ]
            "an unknown field at the top", "{\n \"Netwrk\": {} }", [ "line 2"; "Netwrk"; "'Network'" ]
            "an unknown field of a recipe",
            "{ \"Stage1\": {\n \"epochs\": 3 } }",
            [ "line 2"; "Stage1.epochs"; "'Epochs'" ]
            "a value of a wrong kind",
            "{ \"Stage1\": {\n \"Epochs\": \"many\" } }",
            [ "line 2"; "'Stage1.Epochs' takes a whole number" ]
            "an unknown case",
            "{ \"Execution\": {\n\n \"Engine\": \"fast\" } }",
            [ "line 3"; "'Execution.Engine' takes fused, composite" ]
            "too many threads", "{ \"Execution\": { \"Threads\": 999 } }", [ "Execution.Threads"; "999" ]
            "a batch of nothing", "{ \"Stage2\": { \"Batch\": 0 } }", [ "Stage2.Batch" ]
            "a learning rate above that of --lr",
            "{ \"Stage1\": { \"LearningRate\": 1e6 } }",
            [ "learning rate"; "at most 100"; "1000000" ]
            "a weight decay above that of --weight-decay",
            "{ \"Stage1\": { \"WeightDecay\": 11 } }",
            [ "weight decay"; "between 0 and 10"; "11" ]
            "an infinite clipping factor",
            "{ \"Stage2\": { \"Clip\": { \"Agc\": \"Infinity\" } } }",
            [ "clipping factor" ]
            "steps to huge images",
            "{ \"Dataset\": { \"Preprocessing\": [ { \"Resize\": 1000000 } ] } }",
            [ "Dataset.Preprocessing"; "more than 33554432 pixels" ]
            "a normalisation of two channels",
            "{ \"Dataset\": { \"Normalisation\": { \"Mean\": [0.5, 0.5], \"Deviation\": [1, 1, 1] } } }",
            [ "Dataset.Normalisation"; "three means" ]
            "not JSON", "{ \"Stage1\": \n", [ "this is not JSON" ]
            "a list", "[]", [ "is not a JSON object" ]
            "a field twice", "{ \"Stage1\": null, \"Stage1\": null }", [ "Stage1" ]
            "no stage", "{ \"Stage1\": null, \"Stage2\": null }", [ "nothing would be trained" ]
            "an unknown architecture",
            "{ \"Network\": { \"Architecture\": \"reactnet18\" } }",
            [ "Did you mean 'reactnet-18'?" ] ] do
          test $"a file with {name} is an error that says where" {
              Tool.run ("train" :: "--print-config" :: file $"mistake-{name}.json" text) |> Tool.fails 2 words
          }

      test "a mistake is reported once" {
          for batch, epochs in [ 0, -3; 70_000, 200_000 ] do
              let given = file "once.json" $"{{ \"Stage1\": {{ \"Batch\": {batch}, \"Epochs\": {epochs} }} }}"
              let problem = Tool.run ("train" :: given)
              Tool.fails 2 [ "Stage1.Batch"; "Stage1.Epochs" ] problem
              let sentences = Tool.lines problem.Err |> List.filter _.Contains("once.json")
              Expect.hasLength sentences 2 problem.Err
      }

      test "a file that is not there" {
          Tool.run [ "train"; "--config"; "no-such-file" ] |> Tool.fails 1 [ "no-such-file"; "path" ]
      } ]

let private runs =
    [ test "run.json holds the typed configuration, which --config reads" {
          let path = Path.Combine(fst Tool.tinyRun.Value, "run.json")
          let configuration = resolved [ "--config"; path ]
          Expect.equal configuration.Network.Width (Some 0.34) "width"
          Expect.equal configuration.Dataset.Limit (Some 60) "limit"
          Expect.equal (configuration.Stage1 |> Option.map _.Batch) (Some 10) "batch of stage 1"
          Expect.equal (configuration.Stage2 |> Option.map _.Epochs) (Some 2) "epochs of stage 2"
          Expect.isNone configuration.Environment "the environment of the earlier run"
      }

      for field, value, said in
          [ "LearningRate", 1e6, [ "learning rate"; "at most 100" ]
            "WeightDecay", 11.0, [ "weight decay"; "between 0 and 10" ]
            "Epochs", 200_000.0, [ "Stage1.Epochs"; "from 1 to 100000" ] ] do
          test $"a run.json whose {field} no option can have is not resumed" {
              let folder = Tool.scratch.File $"hostile-{field}"
              Directory.CreateDirectory folder |> ignore
              let text = File.ReadAllText(Path.Combine(fst Tool.tinyRun.Value, "run.json"))
              let root = nonNull (JsonNode.Parse text)
              let configuration = nonNull root["Configuration"]
              let stage = nonNull configuration["Stage1"]
              stage[field] <- JsonNode.Parse(string value)
              File.WriteAllText(Path.Combine(folder, "run.json"), root.ToJsonString())

              Tool.run [ "train"; "--resume"; "--print-config"; "--out"; folder ]
              |> Tool.fails 1 ("is out of bounds" :: said)
          }

      test "a run.json of an earlier version is read for reports and resumed, with a warning" {
          let folder = Tool.scratch.File "earlier"
          Tool.run (Tool.tiny @ [ folder ]) |> Tool.succeeds |> ignore
          let path = Path.Combine(folder, "run.json")
          let rows = (RunFolder.readRun { Path = folder }).Configuration
          let root = nonNull (JsonNode.Parse(File.ReadAllText path))
          let pairs = JsonArray()

          for key, value in rows do
              pairs.Add(JsonNode.Parse(Json.write (key, value)))

          root["Configuration"] <- pairs
          let words = [ for word in Tool.tiny.Tail -> if word = "synthetic" then "drawn" else word ]
          root["Arguments"] <- JsonNode.Parse(Json.write (words @ [ folder ]))
          File.WriteAllText(path, root.ToJsonString())
          Expect.equal (RunFolder.readRun { Path = folder }).Configuration rows "rows"
          let resumed = Tool.run [ "train"; "--resume"; "--out"; folder ]
          Expect.equal resumed.Code 0 $"exit code: {resumed.Err}"
          Expect.stringContains resumed.Err "earlier version" "warning"
          Expect.stringContains resumed.Out "resumes after 2 epochs" "output"
          Expect.isSome (RunFolder.readDescription { Path = folder }).Configuration "typed now"
      } ]

let tests = testList "Configuration" (files @ mistakes @ runs)
