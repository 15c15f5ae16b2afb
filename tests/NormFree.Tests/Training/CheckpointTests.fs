module NormFree.Tests.Training.CheckpointTests

open System.IO
open System.Text.Json.Serialization
open Expecto
open NormFree.Data
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private create norm = Network.create torch.ScalarType.Float32 Rule.Corrected 9L (tiny norm)

let private accuracy loss = { Loss = loss; Top1 = 1.0 / 3.0; Top5 = 0.9; Images = 100 }

let private issue =
    { Stage = "activations"
      Epoch = 2
      Step = 1
      Layer = "layer1.0"
      Batch = [ 3; 1; 2 ]
      What = "the loss is NaN" }

let private record: EpochRecord =
    { Stage = "activations"
      Epoch = 1
      Epochs = 2
      LearningRate = 1e-3 / 3.0
      Train = accuracy 2.1
      Test = accuracy (1.0 / 3.0)
      HeldOut = None
      Clipped = 0.25
      ClippedOf = [ "conv1.weight", 0.25 ]
      Unreadable = 3
      Health = Some { Skipped = 1; RolledBack = 2; Issues = [ issue ]; OneSign = [ "layer1.0", 3 ] }
      Seconds = 12.5 }

/// In the middle of the second epoch, with values that have no short decimal form.
let private cursor =
    { TrainingCursor.startOf 1 with
        Progress = { Places = 40; Unreadable = 1 }
        Step = 2
        Sums = { LossSum = 100.0 / 3.0; First = 7L; AmongFive = 20L; Seen = 39 }
        Clipped = [ "conv1.weight", 16L, 3L ]
        Rate = 1e-3 / 7.0
        Norms = 2.0 / 3.0
        Seconds = 1.5 }
    |> TrainingCursor.noticing issue

let private checkpoint network =
    { Network = network
      ImageTask = ImageTask.Of(Synthetic.dataset 1L 10 10)
      State =
        { Recipe = { quick with Loss = LabelSmoothing 0.1 }
          Stage = "activations"
          History = [ record ]
          TrainingCursor = cursor
          Images = Some { Train = "train"; Test = "test"; Augmentation = [ Flip; PadCrop 4 ] }
          Threads = 2
          Execution = Some Execution.Default
          Machine = Some "a machine"
          BatchPartition = Some { Ranks = 2; Accumulate = 3 }
          Changes = [ "a change" ]
          Teacher = Some "a teacher"
          Method = Some 7 } }

let private step (network: Network) (optimisation: Optimisation) key =
    use _ = torch.NewDisposeScope()
    network.ClearGradients()
    Losses.CrossEntropy(network.Forward(images torch.ScalarType.Float32 key 4, Train), labels 4).backward()
    optimisation.Clip()
    optimisation.Move 1e-3

/// A network after three steps, with its optimiser.
let private trained recipe norm =
    let network = create norm
    let optimisation = new Optimisation(recipe, network)

    for number in 1..3 do
        step network optimisation $"step {number}"

    network, optimisation

let private stateBits (optimisation: Optimisation) =
    ("steps", System.BitConverter.GetBytes optimisation.Steps)
    :: [ for name, tensor in optimisation.State -> name, bits tensor ]

let private optimisers = [ Adam; AdamW; Sgd 0.9; Sgd 0.0 ]

let private roundTrip =
    [ for norm in norms do
          for optimiser in optimisers do
              test $"{Names.norm norm}, {optimiser}: weights, task, progress and state are restored bit for bit" {
                  use folder = new TempFolder()
                  let path = folder.File "last.safetensors"
                  let recipe = { quick with Optimiser = optimiser; WeightDecay = 1e-2 }
                  let network, optimisation = trained recipe norm
                  use network = network
                  use optimisation = optimisation
                  let saved = checkpoint network
                  Checkpoint.save path (Some optimisation) saved

                  use loaded = Checkpoint.load torch.ScalarType.Float32 path
                  sameBits (tensorBits loaded.Network) (tensorBits network) "weights"
                  Expect.equal loaded.Network.Spec network.Spec "spec"
                  Expect.equal loaded.ImageTask saved.ImageTask "task"
                  Expect.equal loaded.State saved.State "state of the training"

                  use again = new Optimisation(recipe, loaded.Network)
                  Checkpoint.restore path again
                  sameBits (stateBits again) (stateBits optimisation) "optimiser"

                  step network optimisation "next"
                  step loaded.Network again "next"
                  sameBits (tensorBits loaded.Network) (tensorBits network) "weights after another step"
              }

      test "the same checkpoint gives the same bytes" {
          use folder = new TempFolder()
          use network = create BatchNorm

          for name in [ "a"; "b" ] do
              Checkpoint.save (folder.File name) None (checkpoint network)

          Expect.equal (File.ReadAllBytes(folder.File "a")) (File.ReadAllBytes(folder.File "b")) "bytes"
      }

      test "a float64 network is restored bit for bit" {
          use folder = new TempFolder()
          use network = Network.create torch.ScalarType.Float64 Rule.Corrected 9L (tiny BatchNorm)
          Checkpoint.save (folder.File "double") None (checkpoint network)
          use loaded = Checkpoint.load torch.ScalarType.Float64 (folder.File "double")
          sameBits (tensorBits loaded.Network) (tensorBits network) "weights"
      }

      test "stage 1's checkpoint initialises a network of stage 2" {
          use folder = new TempFolder()
          use network = create (BnFree 0.2)
          Checkpoint.save (folder.File "first") None (checkpoint network)
          let binary = tiny (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights
          use second = Network.create torch.ScalarType.Float32 Rule.Corrected 1L binary

          Expect.isNone
              (Checkpoint.start (folder.File "first") (checkpoint network).ImageTask.Classes second)
              "the classes are the same"

          sameBits (tensorBits second) (tensorBits network) "weights"
      }

      test "a checkpoint with another number of classes initialises all but the classifier" {
          use folder = new TempFolder()
          use network = create (BnFree 0.2)
          Checkpoint.save (folder.File "ten") None (checkpoint network)
          let three = tiny (BnFree 0.2) |> Net.withClasses 3
          use second = Network.create torch.ScalarType.Float32 Rule.Corrected 7L three
          use fresh = Network.create torch.ScalarType.Float32 Rule.Corrected 7L three
          let classes = (checkpoint network).ImageTask.Classes
          let found = Checkpoint.start (folder.File "ten") (Array.truncate 3 classes) second
          Expect.equal found (Some classes) "the checkpoint's classes"
          let isClassifier (name: string, _) = name.StartsWith "fc."
          let isOther = isClassifier >> not
          Expect.equal (tensorBits second |> List.filter isClassifier |> Seq.length) 2 "weight and bias"

          sameBits
              (List.filter isClassifier (tensorBits second))
              (List.filter isClassifier (tensorBits fresh))
              "classifier"

          sameBits (List.filter isOther (tensorBits second)) (List.filter isOther (tensorBits network)) "other weights"
      }

      test "a checkpoint with as many other classes initialises all but the classifier" {
          use folder = new TempFolder()
          use network = create (BnFree 0.2)
          Checkpoint.save (folder.File "ten") None (checkpoint network)
          use second = Network.create torch.ScalarType.Float32 Rule.Corrected 7L (tiny (BnFree 0.2))
          let others = [| for i in 1..10 -> $"other {i}" |]
          Expect.isSome (Checkpoint.start (folder.File "ten") others second) "the classes differ"

          Expect.equal
              (differences (tensorBits second) (tensorBits network) |> List.sort)
              [ "fc.bias"; "fc.weight" ]
              "new weights"
      } ]

let private classNames n = [| for i in 1..n -> $"class {i}" |]
let private ten = classNames 10

let private withFile inspect =
    use folder = new TempFolder()
    let path = folder.File "a.safetensors"
    use network = create (BnFree 0.2)
    use optimisation = new Optimisation(quick, network)
    Checkpoint.save path (Some optimisation) (checkpoint network)
    inspect folder path network optimisation

let private load path = Checkpoint.load torch.ScalarType.Float32 path

let private unchanged (_: string) text = text

let private refusals =
    [ test "a missing file is a FileNotFoundException" {
          use folder = new TempFolder()
          let text = messageOf<FileNotFoundException, _>(fun () -> load (folder.File "none.safetensors"))
          contains [ "none.safetensors" ] text
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
            "a negative step", (fun task -> { task with Preprocessing = [ CentreCrop -3 ] }), [ "negative" ] ] do
          test $"a task with {what} is rejected" {
              withFile (fun _ path network _ ->
                  let task = change (load path).ImageTask
                  let changed = rewrite path (fun _ -> true) (fun k t -> if k = "task" then Json.write task else t)
                  contains ("'task'" :: said) (refusal (fun () -> load changed)))
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

      test "the state of another optimiser cannot be restored" {
          withFile (fun _ path network _ ->
              use sgd = new Optimisation({ quick with Optimiser = Sgd 0.9 }, network)
              contains [ "momentum_buffer" ] (refusal (fun () -> Checkpoint.restore path sgd)))
      } ]

let private damaged =
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

/// Specs that earlier versions wrote, and today's.
let private oldSpecs =
    [ "reactnet-18.json",
      ReActNet.reactNet18 { Width = 0.25; Depth = 1.0 } CifarStem
      |> Net.withClasses 10
      |> Net.withNorm BatchNorm
      |> Net.withBinarise ActivationsAndWeights
      |> Net.withBinaryGain BinaryGain.VariancePreserving
      |> Net.withExpectedVariance ExpectedVariance.Corrected
      "reactnet-a.json", ReActNet.reactNetA { Width = 0.25; Depth = 0.5 } ImageNetStem
      "resnet-18.json", ResNet.resNet18 { Width = 0.125; Depth = 0.5 } ImageNetStem |> Net.withClasses 10 ]

let private older =
    [ test "a state without an execution has the composite engine's arithmetic" {
          let state = { TrainingState.Of(quick, "activations") with Threads = 2 }
          Expect.isNone state.Execution "execution"
          Expect.equal state.Arithmetic "engine composite, precision float32, threads 2" "arithmetic"
      }

      for file, net in oldSpecs do
          test $"a spec of an earlier version is read: {file}" {
              let text = File.ReadAllText(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "specs", file))
              Expect.equal (OldSpec.read text) (Ok net) "spec"
          }

      test "a network's shortcut weights are restored" {
          for weights in [ WeightBinariser.Binary; WeightBinariser.ZeroMean; WeightBinariser.Real ] do
              let net = tiny NoNorm |> Net.withShortcutWeights weights
              Expect.equal (Json.read<NetSpec>(Json.write net)) (Ok net) (Names.weights weights)
      }

      test "a checkpoint without a method number has none" {
          withFile (fun _ path _ _ ->
              Expect.equal (Checkpoint.readState path).Method (Some 7) "with a number"
              ofMethod None path
              Expect.equal (Checkpoint.readState path).Method None "without")
      }

      test "a checkpoint of version 2 is read with a warning that lists its old field names" {
          withFile (fun _ path _ _ ->
              let current = Checkpoint.readState path

              let oldName (text: string) =
                  OldNames.fields
                  |> List.fold (fun (text: string) (old, now) -> text.Replace($"\"{now}\"", $"\"{old}\"")) text

              let change key text =
                  match key with
                  | "version" -> "2"
                  | "state"
                  | "task" -> oldName text
                  | _ -> text

              let path = rewrite path (fun _ -> true) change
              let warnings = ResizeArray()
              OldNames.warn <- warnings.Add

              try
                  Expect.equal (Checkpoint.readState path) current "state"
              finally
                  OldNames.warn <- ignore

              contains
                  [ path; "Position (now TrainingCursor)"; "SoFar (now Progress)"; "next version" ]
                  (Seq.head warnings))
      } ]

let private saving =
    [ test "a failed save leaves the old file and no temporary file" {
          use folder = new TempFolder()
          let path = folder.File "last.safetensors"
          let network = create NoNorm
          Checkpoint.save path None (checkpoint network)
          let before = File.ReadAllBytes path
          (network :> System.IDisposable).Dispose()
          Expect.throws (fun () -> Checkpoint.save path None (checkpoint network)) "disposed tensors"
          Expect.equal (File.ReadAllBytes path) before "the old file"
          Expect.equal (Directory.GetFileSystemEntries folder.Path) [| path |] "files in the folder"
      }

      test "a folder at the file's path is not changed" {
          use folder = new TempFolder()
          let path = folder.File "last.safetensors"
          let inside = folder.Write("last.safetensors/file", [| 1uy |])
          use network = create NoNorm
          messageOf<exn, _>(fun () -> Checkpoint.save path None (checkpoint network)) |> ignore
          Expect.equal (File.ReadAllBytes inside) [| 1uy |] "its content"
          Expect.equal (Directory.GetFileSystemEntries folder.Path) [| path |] "files in the folder"
      }

      test "a folder that does not exist is an IOException" {
          use folder = new TempFolder()
          use network = create NoNorm

          messageOf<DirectoryNotFoundException, _>(fun () ->
              Checkpoint.save (folder.File "no/such.safetensors") None (checkpoint network))
          |> ignore
      } ]

let tests =
    testList
        "checkpoints"
        [ testList "round trips" roundTrip
          testList "refusals" refusals
          testList "damaged files" damaged
          testList "older files" older
          testList "saving" saving ]
