module NormFree.Tests.Cli.RoundTripTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Golden
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

/// The fixture of an import: a network of the reference, and PyTorch's logits for its images.
let private imported =
    lazy
        (let path = Tool.scratch.File "imported.safetensors"
         let net = "--arch reactnet-small --width 0.34 --stem cifar --classes 10"
         let file = Archives.PyTorchTests.fixturePath "small-bn-free.pth"
         path, Tool.runLine $"import --pytorch {file} {net} --out {path}" |> Tool.succeeds)

let private interop =
    testList
        "import and export"
        [ test "a PyTorch file becomes a checkpoint with PyTorch's logits" {
              let checkpoint, result = imported.Value
              Expect.stringContains result.Out "reactnet-small: 62 tensors loaded" "output"
              use _ = torch.NewDisposeScope()
              let input, output = Tool.scratch.File "waves.safetensors", Tool.scratch.File "waves.logits.safetensors"
              let images = Interop.Support.waves 2 32

              SafetensorsWriter()
                  .Add("input", DType.F64, ReadOnlySpan images.shape, ReadOnlyMemory(Support.bits images))
                  .Save
                  input

              Tool.runLine $"predict --checkpoint {checkpoint} --input {input} --output {output} --precision float64"
              |> Tool.succeeds
              |> ignore

              use file = SafetensorsFile.Open output
              let expected = GoldenFiles.floats "logits" (Archives.PyTorchTests.expected "small-bn-free").Value
              Agreement.allClose Closeness.tight (torch.tensor (file.ReadAsDouble file["logits"])) expected "logits"
          }

          test "a partial import says what it accepted" {
              let out = Tool.scratch.File "partial.safetensors"
              let file = Archives.PyTorchTests.fixturePath "small-bn-free.pth"
              let net = "--arch reactnet-small --width 0.34 --stem cifar --classes 7"
              let result = Tool.runLine $"import --pytorch {file} {net} --partial --out {out}" |> Tool.succeeds

              for words in [ "60 tensors loaded"; "--partial"; "fc.weight: [10, 32] of F32 in the file, [7, 32]" ] do
                  Expect.stringContains result.Out words "output"
          }

          for format, options, difference in
              [ "pytorch", "", "largest difference: 0 (equal bit for bit)"
                "safetensors", "", "largest difference: 0 (equal bit for bit)"
                "onnx", "", "compared: logits of the file in the ONNX runtime with the network's"
                "onnx", " --dynamic-batch", "compared: logits of the file in the ONNX runtime with the network's"
                "packed", "", "0 of 12288 signs differ, 0 weights of 0 became +1" ] do
              test $"export as {format}{options} prints the largest difference" {
                  let out = Tool.scratch.File $"exported{options.Length}.{format}"
                  let checkpoint = fst imported.Value

                  let result =
                      Tool.runLine $"export --checkpoint {checkpoint} --format {format} --out {out}{options}"
                      |> Tool.succeeds

                  Expect.stringContains result.Out difference "output"
                  Expect.isTrue (File.Exists out) "file"
              }

          test "an exported file is imported to the same checkpoint" {
              let out, again = Tool.scratch.File "there.pth", Tool.scratch.File "back.safetensors"

              Tool.runLine $"export --checkpoint {fst imported.Value} --format pytorch --out {out}"
              |> Tool.succeeds
              |> ignore

              let net = "--arch reactnet-small --width 0.34 --stem cifar --classes 10"
              Tool.runLine $"import --pytorch {out} {net} --out {again}" |> Tool.succeeds |> ignore
              Support.sameBits (Support.fileBits (fst imported.Value)) (Support.fileBits again) "checkpoint"
          } ]

let private packed =
    testList
        "verify"
        [ test "a packed file computes what its checkpoint does" {
              let files = $"--checkpoint {Tool.checkpoint.Value} --packed {Tool.packed.Value}"
              let result = Tool.runLine $"verify {files} --images 1" |> Tool.succeeds
              Expect.stringContains result.Out "| layer3.2.binary_conv |" "a line a layer"
              Expect.stringContains result.Out "weights of exactly 0  0" "zeros"
          }

          test "both networks have the same accuracy on a data set, as JSON" {
              let files = $"--checkpoint {Tool.checkpoint.Value} --packed {Tool.packed.Value}"
              let result = Tool.runLine $"verify {files} --dataset synthetic --test-limit 20 --json" |> Tool.succeeds
              let json = nonNull (JsonNode.Parse result.Out)
              let field (name: string) (node: JsonNode) = nonNull node[name]
              Expect.isTrue ((field "agrees" json).GetValue<bool>()) "agrees"

              for name in [ "composite"; "packed" ] do
                  Expect.equal ((json |> field name |> field "images").GetValue<int>()) 20 $"images of {name}"

              let loss name = (json |> field name |> field "loss").GetValue<float>()
              Expect.isLessThan (abs (loss "composite" - loss "packed")) 1e-2 "loss"
              Expect.equal ((json |> field "report" |> field "images").GetValue<int>()) 2 "images of layers"
          } ]

let private summaries =
    testList
        "summary"
        [ for name, _ in Architecture.all do
              test $"of {name} as JSON" {
                  let json = Tool.runLine $"summary --arch {name} --json" |> Tool.succeeds
                  Expect.isNotNull ((nonNull (JsonNode.Parse json.Out))["Total"]) "total"
              }

          test "as a table" {
              let table = Tool.runLine "summary" |> Tool.succeeds
              Expect.stringContains table.Out "predicted packed size" "table"
          } ]

/// Those that train run one after the other: each needs a processor for seconds.
let tests =
    testList
        "Round trip"
        [ testSequencedGroup "trainings of the tool" train
          checkpoints
          reports
          summaries
          interop
          packed ]
