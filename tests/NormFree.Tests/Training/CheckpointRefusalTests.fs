/// Checkpoints that are rejected: of another network, hostile or damaged.
module NormFree.Tests.Training.CheckpointRefusalTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Formats.Safetensors
open NormFree.Inference.Model
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp
open NormFree.Tests.Training.CheckpointSupport

let refusals =
    [ test "a missing file is a FileNotFoundException" {
          use folder = new TempFolder()
          let text = messageOf<FileNotFoundException, _>(fun () -> load (folder.File "none.safetensors"))
          contains [ "none.safetensors" ] text
      }

      test "a pipe is an error, not a wait" {
          use folder = new TempFolder()
          let path = folder.File "pipe"
          use made = System.Diagnostics.Process.Start("mkfifo", [ path ])
          made.WaitForExit()
          contains [ path; "pipe or socket" ] (refusal (fun () -> load path))
      }

      test "a network of another architecture causes a list of the differences" {
          withFile (fun _ path _ _ ->
              use other = create BatchNorm
              let text = refusal (fun () -> Checkpoint.start path ten other)

              contains [ path; "reactnet-small"; "bn1.weight is missing"; "; and "; " more" ] text)
      }

      test "missing, unexpected and misshapen tensors are all reported" {
          withFile (fun _ path network _ ->
              let without = rewrite path (fun name -> name <> "fc.bias") unchanged
              contains [ "fc.bias is missing" ] (refusal (fun () -> Checkpoint.start without ten network))

              let wide = ReActNet.reactNetSmall { Width = 1.0; Depth = 1.0 } CifarStem |> Net.withNorm (BnFree 0.2)

              for classes in [ 10; 100 ] do
                  use wide = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (Net.withClasses classes wide)
                  let text = refusal (fun () -> Checkpoint.start path (classNames classes) wide)
                  contains [ "conv1.weight has shape ["; "conv1.gain has shape ["; "], not [" ] text

              use plain = create NoNorm

              contains
                  [ "conv1.gain is not a tensor of this network" ]
                  (refusal (fun () -> Checkpoint.start path ten plain)))
      }

      test "a rejected checkpoint does not change the network" {
          withFile (fun _ path _ _ ->
              use other = create BatchNorm
              let before = tensorBits other
              refusal (fun () -> Checkpoint.start path ten other) |> ignore
              sameBits (tensorBits other) before "weights")
      }

      test "a plain safetensors file is not a checkpoint" {
          use folder = new TempFolder()
          let path = folder.File "plain.safetensors"

          SafetensorsWriter().Add("x", DType.F32, System.ReadOnlySpan [| 1L |], System.BitConverter.GetBytes 1.0f).Save
              path

          contains [ path; "not a NormFree checkpoint" ] (refusal (fun () -> load path))
      }

      test "other bytes are not a checkpoint" {
          use folder = new TempFolder()

          let path =
              folder.Write("text", System.Text.Encoding.ASCII.GetBytes "once upon a time there was a network")

          contains [ path ] (refusal (fun () -> load path))
      }

      for key, text, said in
          [ "version", "4", [ "version 4"; "reads versions 2 and 3"; "Use the version of NormFree that wrote it" ]
            "version", "1", [ "version 1"; "reads versions 2 and 3" ]
            "format", "something", [ "'something'" ]
            "spec", "{}", [ "'spec'" ]
            "spec", "null", [ "'spec'" ]
            "task", "[1]", [ "'task'" ]
            "state", "{\"Recipe\":null}", [ "'state'" ]
            "state", "{\"Stage\":1,\"Stage\":2}", [ "'state'" ]
            "spec", "{\"Name\":\"a\",\"Name\":\"b\"}", [ "'spec'" ] ] do
          test $"metadata '{key}' of '{text}' is rejected" {
              withFile (fun _ path _ _ ->
                  let changed = rewrite path (fun _ -> true) (fun k t -> if k = key then text else t)
                  contains (changed :: said) (refusal (fun () -> load changed)))
          }

      for what, change, said in
          [ "one class", (fun (net: NetSpec) -> { net with Classes = 1 }), [ "it is not a network"; "classes" ]
            "2·10⁹ classes",
            (fun (net: NetSpec) -> { net with Classes = 2_000_000_000 }),
            [ "at most 10000000 classes" ]
            "9·10⁶ classes, unlike its tensors",
            (fun (net: NetSpec) -> { net with Classes = 9_000_000 }),
            [ "fc.weight has shape [10, 32], not [9000000, 32]" ]
            "2²⁴ channels",
            (fun (net: NetSpec) -> Net.withStem (Blocks.plain "" [ Parts.conv "conv1" 3 1 (1 <<< 24) ]) net),
            [ "at most 65536 channels" ]
            "64 times its channels",
            (fun (net: NetSpec) ->
                ReActNet.reactNetSmall { Width = 64.0; Depth = 1.0 } CifarStem
                |> Net.withClasses net.Classes
                |> Net.withNorm (BnFree 0.2)),
            [ "conv1.weight has shape [8, 3, 3, 3], not [1536, 3, 3, 3]" ] ] do
          test $"a spec with {what} is rejected before its network is allocated" {
              withFile (fun _ path network _ ->
                  let spec = change network.Spec
                  let changed = rewrite path (fun _ -> true) (fun k t -> if k = "spec" then Json.write spec else t)
                  let before = System.GC.GetAllocatedBytesForCurrentThread()
                  contains said (refusal (fun () -> load changed))
                  contains said (refusal (fun () -> Checkpoint.readSpec changed))
                  let allocated = System.GC.GetAllocatedBytesForCurrentThread() - before
                  Expect.isLessThan allocated 10_000_000L "bytes")
          }

      test "a spec that is too long to be one is rejected before it is parsed" {
          withFile (fun _ path _ _ ->
              let long = System.String(' ', 5_000_000)
              let changed = rewrite path (fun _ -> true) (fun k t -> if k = "spec" then t + long else t)
              contains [ "'spec'"; "the limit is 4000000" ] (refusal (fun () -> load changed)))
      }

      test "the limits of preprocessing are those of packed networks" {
          Expect.equal PreprocessingChecks.MaxSteps PackedLimits.MaxPreprocessingSteps "steps"
          Expect.equal PreprocessingChecks.MaxPixels (int64 PackedLimits.MaxPreprocessingPixels) "pixels"
      }

      for what, change, said in
          [ "no side", (fun (task: ImageTask) -> { task with Size = 0 }), [ "from 1 to 10000, not 0" ]
            "a huge side", (fun task -> { task with Size = 2_000_000_000 }), [ "from 1 to 10000" ]
            "no classes", (fun task -> { task with Classes = [||] }), [ "0 class names for 10 classes" ]
            "a million classes",
            (fun task -> { task with Classes = Array.create 1_000_000 "c" }),
            [ "1000000 class names" ]
            "a deviation of 0",
            (fun task -> { task with Normalisation = { task.Normalisation with Deviation = [| 0f; 1f; 1f |] } }),
            [ "above 0" ]
            "400 steps",
            (fun task -> { task with Preprocessing = List.replicate 400 (Resize 9000) }),
            [ "400 preprocessing steps"; "16" ]
            "huge steps",
            (fun task -> { task with Preprocessing = List.replicate 10 (Resize 5000) }),
            [ "more than 33554432 pixels" ]
            "a negative step", (fun task -> { task with Preprocessing = [ CentreCrop -3 ] }), [ "a side below 1" ]
            "a step to no pixels", (fun task -> { task with Preprocessing = [ ResizeShort 0 ] }), [ "a side below 1" ]
            "a class without a name",
            (fun task ->
                { task with
                    Classes = Array.append (Array.truncate 9 task.Classes) [| Unchecked.defaultof<string> |] }),
            [ "class 9 has no name" ]
            "images that do not fit", (fun task -> { task with Size = 30 }), [ "30×30 do not fit the network" ]
            "images that fill the memory", (fun task -> { task with Size = 9984 }), [ "9984×9984"; "values in a map" ] ] do
          test $"a task with {what} is rejected" {
              withFile (fun _ path network _ ->
                  let task = change (load path).ImageTask
                  let changed = rewrite path (fun _ -> true) (fun k t -> if k = "task" then Json.write task else t)
                  contains ("'task'" :: said) (refusal (fun () -> load changed))
                  contains ("'task'" :: said) (refusal (fun () -> Checkpoint.readTask changed))
                  contains ("'task'" :: said) (refusal (fun () -> Checkpoint.start changed ten network)))
          }

      for what, change, said in
          [ "a negative epoch", (fun (cursor: TrainingCursor) -> { cursor with Epoch = -1 }), [ "-1 epochs" ]
            "more epochs than its recipe", (fun cursor -> { cursor with Epoch = 3 }), [ "3 epochs of 2" ]
            "a negative step", (fun cursor -> { cursor with Step = -1 }), [ "steps is -1" ]
            "a negative place",
            (fun cursor -> { cursor with Progress = { Places = -1; Unreadable = 0 } }),
            [ "places is -1" ]
            "a negative time", (fun cursor -> { cursor with Seconds = -1.0 }), [ "-1 seconds" ]
            "an endless time", (fun cursor -> { cursor with Seconds = 1e300 }), [ "seconds" ]
            "no time", (fun cursor -> { cursor with Seconds = nan }), [ "NaN seconds" ] ] do
          test $"a state with {what} is rejected" {
              withFile (fun _ path _ _ ->
                  let state = (load path).State
                  let state = Json.write { state with TrainingCursor = change state.TrainingCursor }
                  let changed = rewrite path (fun _ -> true) (fun k t -> if k = "state" then state else t)
                  contains ("'state'" :: said) (refusal (fun () -> load changed))
                  contains ("'state'" :: said) (refusal (fun () -> Checkpoint.readState changed)))
          }

      test "a network whose poolings take minutes is rejected" {
          withFile (fun _ path network _ ->
              let pools = List.replicate 200 (Part.MaxPool(255, 1, 127))
              let stem = Blocks.plain "" (Parts.conv "conv1" 3 1 8 :: Parts.norm "bn1" :: pools)
              let spec = Json.write (Net.withStem stem network.Spec)
              let changed = rewrite path (fun _ -> true) (fun k t -> if k = "spec" then spec else t)
              contains [ "'task'"; "values in the windows of poolings" ] (refusal (fun () -> load changed)))
      }

      test "a truncated file is rejected at any length" {
          withFile (fun folder path _ _ ->
              let bytes = File.ReadAllBytes path

              for length in [ 0; 7; 8; 100; bytes.Length / 2; bytes.Length - 1 ] do
                  let cut = folder.Write("cut.safetensors", Array.truncate length bytes)
                  contains [ "cut.safetensors" ] (refusal (fun () -> load cut)))
      }

      test "a checkpoint without the optimiser's state cannot be resumed" {
          withFile (fun folder _ network optimisation ->
              let best = folder.File "best.safetensors"
              Checkpoint.save best None (checkpoint network)

              contains
                  [ best; "optimiser/"; "Give a last checkpoint" ]
                  (refusal (fun () -> Checkpoint.restore best optimisation)))
      }

      for what, name, dtype, count, said in
          [ "a tensor of too few values", "conv1.weight/exp_avg", DType.F32, 3, [ "it has 3 values, not 216" ]
            "no number of steps", "steps", DType.I64, 0, [ "not one number" ]
            "a negative number of steps", "steps", DType.I64, 1, [ "not one number" ] ] do
          test $"an optimiser's state with {what} is rejected" {
              withFile (fun folder path _ optimisation ->
                  use file = SafetensorsFile.Open path
                  let writer = SafetensorsWriter()

                  for entry in file.Tensors do
                      if entry.Name = "optimiser/" + name then
                          let bytes = Array.create (count * (if dtype = DType.I64 then 8 else 4)) 0xFFuy
                          writer.Add(entry.Name, dtype, System.ReadOnlySpan [| int64 count |], bytes) |> ignore
                      else
                          let shape = Seq.toArray entry.Shape

                          writer.Add(entry.Name, entry.DType, System.ReadOnlySpan shape, file.ReadBytes entry)
                          |> ignore

                  for KeyValue(key, text) in file.Metadata do
                      if key <> "checksum" then
                          writer.Describe(key, text) |> ignore

                  let changed = folder.File "changed.safetensors"
                  writer.DescribeChecksum().Save changed
                  contains ($"optimiser/{name}" :: said) (refusal (fun () -> Checkpoint.restore changed optimisation)))
          }

      test "the state of another optimiser cannot be restored" {
          withFile (fun _ path network _ ->
              use sgd = new Optimisation({ quick with Optimiser = Sgd 0.9 }, network)
              contains [ "momentum_buffer" ] (refusal (fun () -> Checkpoint.restore path sgd)))
      } ]

let damaged =
    [ test "a change of any byte is detected" {
          withFile (fun folder path _ _ ->
              let bytes = File.ReadAllBytes path
              let header = 8 + int (System.BitConverter.ToInt64(bytes, 0))

              for offset in [ header; header + 1001; (header + bytes.Length) / 2; bytes.Length - 1 ] do
                  let changed = Array.copy bytes
                  changed[offset] <- changed[offset] ^^^ 1uy
                  let text = refusal (fun () -> load (folder.Write("changed.safetensors", changed)))
                  contains [ "changed.safetensors"; "it differs from its checksum" ] text)
      }

      test "a change of metadata is detected" {
          withFile (fun folder path _ _ ->
              let text = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes path)
              let changed = text.Replace("activations", "Activations")
              let bytes = System.Text.Encoding.Latin1.GetBytes changed
              let said = refusal (fun () -> load (folder.Write("changed.safetensors", bytes)))
              contains [ "it differs from its checksum" ] said)
      }

      test "a checkpoint without a checksum is rejected" {
          withFile (fun folder path _ _ ->
              let text = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes path)
              let bytes = System.Text.Encoding.Latin1.GetBytes(text.Replace("\"checksum\"", "\"Checksum\""))
              let said = refusal (fun () -> load (folder.Write("changed.safetensors", bytes)))
              contains [ "it has no checksum" ] said)
      } ]
