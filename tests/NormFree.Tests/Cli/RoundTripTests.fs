module NormFree.Tests.Cli.RoundTripTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Kernels.Simd
open NormFree.Spec
open NormFree.Cli
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Training
open TorchSharp

let private files folder =
    Directory.GetFileSystemEntries folder
    |> Array.map (Path.GetFileName >> string)
    |> Array.sort
    |> Array.toList

let private complete =
    [ "confusion.json"; "log.jsonl"; "run.json" ]
    @ [ for stage in 1..2 do
            for kind in [ "best"; "last-1"; "last" ] do
                $"stage{stage}.{kind}.safetensors" ]
    @ [ "telemetry"; "tensorboard" ]

let private train =
    testList
        "train"
        [ test "leaves the description, the log and three checkpoints per stage, and nothing else" {
              Expect.equal (files (fst Tool.tinyRun.Value)) complete "files"
          }

          test "--json-log prints one object per line: every stage, step and epoch" {
              let events = Tool.eventNames (snd Tool.tinyRun.Value).Out

              let stage =
                  "StageStarted" :: List.concat (List.replicate 2 (List.replicate 6 "StepDone" @ [ "EpochDone" ]))

              // The warning is about 6 steps per epoch.
              Expect.equal events ("Warning" :: stage @ stage) "events"
          }

          test "a folder with a run is not overwritten" {
              Tool.run (Tool.tiny @ [ fst Tool.tinyRun.Value ]) |> Tool.fails 2 [ "holds a run"; "--resume" ]
          }

          test "resuming a finished run prints its table" {
              let resumed = Tool.run [ "train"; "--resume"; "--out"; fst Tool.tinyRun.Value ] |> Tool.succeeds

              for words in [ "resumes after 2 epochs"; "activations+weights"; "top-1" ] do
                  Expect.stringContains resumed.Out words "output"
          }

          test "a resumed run keeps its settings" {
              Tool.run [ "train"; "--resume"; "--epochs"; "9"; "--out"; fst Tool.tinyRun.Value ]
              |> Tool.fails 2 [ "--epochs 9"; "keeps its settings" ]

              Tool.run [ "train"; "--resume"; "--teacher"; "x"; "--out"; fst Tool.tinyRun.Value ]
              |> Tool.fails 2 [ "the run has no teacher"; "--teacher x" ]
          }

          test "a resumed run takes the options for its work and its files, and no other" {
              let folder = fst Tool.tinyRun.Value

              let kept =
                  [ "--engine fused"
                    "--precision float32"
                    "--device cpu"
                    "--threads 1"
                    $"--instructions {(string InstructionSets.Best).ToLowerInvariant()}"
                    "--workers 1"
                    "--accumulate 1"
                    "--rank-timeout 30"
                    "--keep 2"
                    "--checkpoint-every 5"
                    "--on-nonfinite stop"
                    "--json-log"
                    "--strict"
                    "--time-limit 01:00"
                    $"--data {folder}"
                    "--print-config"
                    "--resume"
                    $"--out {folder}" ]

              Tool.runLine ("train " + String.concat " " kept) |> Tool.succeeds |> ignore
              let names = "--teacher" :: [ for option in kept -> (option.Split ' ')[0] ]
              Expect.equal (Set.toList ResumedRun.allowedOptions.Value) (List.sort names) "no other option is kept"

              // Options of the supervisor are not the run's.
              let others = names @ [ "--ranks"; "--hosts"; "--restarts"; "--min-ranks" ]

              for spec in CommandTable.Networks.train.Options do
                  if not (List.contains spec.Name others) then
                      let isValid value = (spec.Check value).IsNone

                      let words =
                          match spec.Kind with
                          | ValueKind.Choice forms -> OptionSpec.WordsOf forms
                          | _ -> []

                      let value = List.find isValid (words @ [ "1"; "0.5"; "none" ])
                      let given = if spec.Kind = ValueKind.Flag then [ spec.Name ] else [ spec.Name; value ]

                      Tool.run ([ "train"; "--resume"; "--print-config"; "--out"; folder ] @ given)
                      |> Tool.fails 2 [ spec.Name; "keeps its settings" ]
          }

          for signal, place, event in
              [ "TERM", "in its first epoch", "StepDone"
                "TERM", "after its first epoch", "EpochDone"
                "HUP", "in its first epoch", "StepDone" ] do
              test $"a run that gets SIG{signal} {place} resumes with --resume and ends with the same bits" {
                  let folder = Tool.scratch.File $"stopped-{signal}-{event}"

                  Tool.signalAt signal _.Contains(event) (Tool.tiny @ [ folder ])
                  |> Tool.fails 1 [ "interrupted"; $"train --resume --out {folder}" ]

                  Expect.isFalse
                      (File.Exists(Path.Combine(folder, "stage2.last.safetensors")))
                      "it was stopped before the end"

                  Tool.run [ "train"; "--resume"; "--json-log"; "--out"; folder ] |> Tool.succeeds |> ignore
                  Expect.equal (files folder) complete "files"

                  let bits folder = Support.fileBits (Path.Combine(folder, "stage2.last.safetensors"))
                  Support.sameBits (bits folder) (bits (fst Tool.tinyRun.Value)) "last checkpoint"
              }

          test "a run from before deviations 14, 15 and 17 resumes without them and names its method" {
              let folder = Tool.scratch.File "older"

              Tool.terminateAt _.Contains("StepDone") (Tool.tiny @ [ folder ]) |> Tool.fails 1 [ "interrupted" ]

              Support.age (Path.Combine(folder, "stage1.last.safetensors"))
              let resumed = Tool.run [ "train"; "--resume"; "--json-log"; "--out"; folder ] |> Tool.succeeds
              let warning = Tool.lines resumed.Out |> List.find _.StartsWith("{\"Warning\"")

              Expect.stringContains
                  warning
                  "stage1.last.safetensors was trained by an older version's method"
                  "the warning"

              Expect.stringContains warning "per-step decay (2) may differ" "the warning"

              for stage in [ "stage1"; "stage2" ] do
                  let state = Checkpoint.readState (Path.Combine(folder, $"{stage}.last.safetensors"))
                  let deviations = state.Recipe.Deviations
                  Expect.equal (deviations.Rates, deviations.SignCentering) (Rule.Published, Rule.Published) stage
                  Expect.equal deviations.LastEpoch Rule.Corrected stage

              let configuration = Map (RunFolder.readRun { Path = folder }).Configuration
              Expect.stringContains configuration["environment.changed (1)"] "for per-step decay (2)" "run.json"
              Tool.run [ "train"; "--resume"; "--json-log"; "--out"; folder ] |> Tool.succeeds |> ignore
          }

          test "a teacher that moves in stage 2 is given once, and the run resumes with it" {
              let folder, teacher, moved =
                  Tool.scratch.File "taught", Tool.scratch.File "teacher", Tool.scratch.File "moved teacher"

              File.Copy(Tool.checkpoint.Value, teacher)
              let inStage2 (line: string) = line.Contains "StepDone" && line.Contains "activations+weights"
              let resume = [ "train"; "--resume"; "--json-log"; "--out"; folder ]
              let longer = Tool.tiny |> List.map (fun word -> if word = "60" then "120" else word)

              Tool.terminateAt inStage2 (longer @ [ folder; "--loss"; "kd"; "--teacher"; teacher ])
              |> Tool.fails 1 [ "interrupted" ]

              File.Move(teacher, moved)
              Tool.terminateAt inStage2 (resume @ [ "--teacher"; moved ]) |> Tool.fails 1 [ "interrupted" ]
              Tool.run resume |> Tool.succeeds |> ignore
              let state = Checkpoint.readState (Path.Combine(folder, "stage2.last.safetensors"))
              Expect.equal state.Recipe.Loss (Distillation moved) "where the teacher is now"
          }

          test "a run that resumes with another number of threads warns, and run.json records it" {
              let folder = Tool.scratch.File "threads"

              Tool.terminateAt _.Contains("StepDone") (Tool.tiny @ [ folder ]) |> Tool.fails 1 [ "interrupted" ]

              let resumed =
                  Tool.runProcess [ "train"; "--resume"; "--threads"; "2"; "--json-log"; "--out"; folder ]
                  |> Tool.succeeds

              let warning = Tool.lines resumed.Out |> List.find _.StartsWith("{\"Warning\"")

              for words in
                  [ "stage1.last.safetensors was written with engine fused"
                    "threads 1"
                    "threads 2"
                    "rounded differently" ] do
                  Expect.stringContains warning words "the warning"

              let configuration = Map (RunFolder.readRun { Path = folder }).Configuration
              let change = configuration["environment.changed (1)"]

              for words in [ "activations, after epoch 1, step "; "threads 2"; "instead of"; "threads 1" ] do
                  Expect.stringContains change words "run.json"
          } ]

let private checkpoints =
    testList
        "a checkpoint"
        [ test "is evaluated to the accuracy in the log" {
              let folder = fst Tool.tinyRun.Value

              let result =
                  Tool.run [ "eval"; "--json"; "--test-limit"; "20"; "--checkpoint"; Tool.checkpoint.Value ]
                  |> Tool.succeeds

              let accuracy = nonNull (JsonNode.Parse result.Out)
              let expected = (List.last (RunFolder.readRun { Path = folder }).Epochs).Test
              Expect.equal ((nonNull accuracy["Top1"]).GetValue<float>()) expected.Top1 "top-1"
              Expect.equal ((nonNull accuracy["Images"]).GetValue<int>()) 20 "images"
          }

          test "is summarised as its network" {
              let result = Tool.run [ "summary"; "--json"; "--checkpoint"; Tool.checkpoint.Value ] |> Tool.succeeds
              let net = nonNull ((nonNull (JsonNode.Parse result.Out))["Net"])
              Expect.equal ((nonNull net["Classes"]).GetValue<int>()) 10 "classes"
          }

          test "gives the logits of Network.Forward in float64, bit for bit" {
              let input, output = Tool.scratch.File "raw.safetensors", Tool.scratch.File "logits.safetensors"
              let images = Support.images torch.ScalarType.Float64 "raw" 3

              SafetensorsWriter()
                  .Add("input", DType.F64, ReadOnlySpan images.shape, ReadOnlyMemory(Support.bits images))
                  .Save
                  input

              Tool.run
                  [ "predict"
                    "--checkpoint"
                    Tool.checkpoint.Value
                    "--input"
                    input
                    "--output"
                    output
                    "--precision"
                    "float64" ]
              |> Tool.succeeds
              |> ignore

              use checkpoint = Checkpoint.load torch.ScalarType.Float64 Tool.checkpoint.Value
              use _ = torch.no_grad ()
              let expected = checkpoint.Network.Forward(images, Evaluate)
              use file = SafetensorsFile.Open output
              Expect.equal (Seq.toList file["logits"].Shape) [ 3L; 10L ] "shape"
              Expect.equal (file.ReadBytes file["logits"]) (Support.bits expected) "logits"
          } ]

let private reports =
    testList
        "report"
        [ for page, others in [ "page.html", []; "page.md", [ "page-loss.png"; "page-mistakes-1.png"; "page.png" ] ] do
              test $"writes {page}" {
                  let folder = Directory.CreateDirectory(Tool.scratch.File $"report-{page}").FullName

                  Tool.run [ "report"; fst Tool.tinyRun.Value; "--out"; Path.Combine(folder, page); "--no-speed" ]
                  |> Tool.succeeds
                  |> ignore

                  Expect.containsAll (files folder) (page :: others) "files"
                  Expect.stringContains (File.ReadAllText(Path.Combine(folder, page))) "activations+weights" "content"
              } ]

/// Those that train run one after the other: each needs a processor for seconds.
let tests =
    testList
        "Round trip"
        [ testSequencedGroup "trainings of the tool" train
          checkpoints
          reports
          RoundTripFileTests.summaries
          RoundTripFileTests.interop
          RoundTripFileTests.packed ]
