module NormFree.Tests.Training.PipelineTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Inference.Files
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Pipelines
open NormFree.Tests.Training.Support
open TorchSharp

let private logits (trained: Trained<'w>) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    bits (trained.Network.Forward(images torch.ScalarType.Float32 "pipeline" 10, Evaluate))

let private running =
    [ for norm in norms do
          test $"{Names.norm norm}: two stages run, and the history has both" {
              use folder = new TempFolder()
              let trained = both quick (tiny norm) (into folder.Path)
              let history = trained.History
              Expect.equal (stageNames history) fourEpochs "epochs"

              Expect.equal
                  (trained.Network.Spec |> Net.tryBinary |> Option.map _.Binarise)
                  (Some ActivationsAndWeights)
                  "weights are binary"

              let run = Pipeline.finish trained
              Expect.equal run.Epochs history "the finished run's epochs"
              Expect.equal run.Label (Names.norm norm) "its label"
              let saved = RunFolder.readRun (RunFolder.at folder.Path)
              Expect.equal saved run "the run in the folder"

              Expect.all
                  history
                  (fun r -> r.Train.Images = 120 && r.Test.Images = 40 && r.Unreadable = 0 && r.HeldOut = None)
                  "images"

              Expect.all
                  history
                  (fun r -> Double.IsFinite r.Test.Loss && r.Train.Loss > 0.0 && r.Test.Top1 <= r.Test.Top5)
                  "accuracies"

              let keys = saved.Configuration |> List.map fst
              Expect.equal keys (List.distinct keys) "every setting occurs once"

              Expect.containsAll
                  keys
                  [ "architecture"; "norm"; "activations: epochs"; "activations+weights: weight decay" ]
                  "settings"
          }

      test "a run ends with a packed network, which needs binary weights" {
          use folder = new TempFolder()
          let run = both quick (tiny (BnFree 0.2)) (into folder.Path) |> Pipeline.pack
          Expect.isTrue run.Log.Finished "finished"
          Expect.equal (RunFolder.readRun (RunFolder.at folder.Path)) run.Log "the run in the folder"
          run.Save(folder.File "packed.safetensors")
          let model = PackedFile.Read(folder.File "packed.safetensors")
          Expect.equal model.Architecture "reactnet-small" "architecture"
          Expect.stringStarts model.Notes["training"] "activations+weights, epoch 2 of 2: top-1" "training"
          Expect.equal (Seq.toArray model.Classes) data.Value.Classes "classes"

          let pipeline = nonNull (typeof<Plan>.Assembly.GetType "NormFree.Training.Pipeline")
          let parameter = (Array.head ((nonNull (pipeline.GetMethod "pack")).GetParameters())).ParameterType
          Expect.equal parameter typeof<Trained<BinaryWeights>> "what can be packed"
      }

      test "the same seed gives the same logits, bit for bit, and another seed gives different ones" {
          let run seed =
              Pipeline.from data.Value |> both { quick with Seed = seed } (tiny (BnFree 0.2)) |> useTrained logits

          Expect.equal (run 1L) (run 1L) "seed 1 twice"
          Expect.notEqual (run 1L) (run 2L) "seeds 1 and 2"
      }

      test "one worker and three give the same weights, bit for bit" {
          let run workers =
              Pipeline.from data.Value
              |> runOptions (fun a -> { a with Workers = workers })
              |> both quick (tiny BatchNorm)
              |> useTrained (fun trained -> tensorBits trained.Network)

          sameBits (run 1) (run 3) "weights"
      }

      test "training reduces the loss" {
          let recipe = { quick with Epochs = 6; Clip = NoClipping }

          let history = Pipeline.from data.Value |> Pipeline.train recipe (tiny BatchNorm) |> useTrained _.History

          Expect.isLessThan (List.last history).Train.Loss (List.head history).Train.Loss "loss of the last epoch"
      }

      test "events report stages, steps and epochs" {
          let events = ResizeArray()

          Pipeline.from data.Value
          |> Pipeline.onEvent events.Add
          |> both quick (tiny NoNorm)
          |> useTrained ignore

          let count choose = events |> Seq.choose choose |> Seq.length

          Expect.equal
              (count (function
                  | StageStarted(_, 2, 120) -> Some()
                  | _ -> None))
              2
              "stages"

          Expect.equal
              (count (function
                  | StepDone _ -> Some()
                  | _ -> None))
              24
              "steps"

          Expect.equal
              (count (function
                  | EpochDone _ -> Some()
                  | _ -> None))
              4
              "epochs"

          Expect.equal events.Count 30 "all events"
      } ]

let private fitting =
    [ test "a network with other classes than the data set is rejected" {
          let net = tiny NoNorm |> Net.withClasses 100

          let text =
              messageOf<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train quick net)

          contains [ "100 classes"; "synthetic has 10" ] text
      }

      test "images that are too small for the network are rejected" {
          let small = { data.Value with Size = 2 }

          let text =
              messageOf<TrainingException, _>(fun () -> Pipeline.from small |> Pipeline.train quick (tiny NoNorm))

          contains [ "2×2" ] text
      }

      test "a batch of one image is rejected if batch norm would get one value per channel" {
          let data = Synthetic.dataset 3L 11 10
          let net = ReActNet.reactNet18 { Width = 0.125; Depth = 0.25 } ImageNetStem |> Net.withClasses 10
          let train norm = Pipeline.from data |> Pipeline.train { quick with Batch = 5 } (Net.withNorm norm net)
          contains [ "batch of one image"; "1×1" ] (messageOf<TrainingException, _>(fun () -> train BatchNorm))
          using (train NoNorm) ignore
      }

      test "an invalid recipe is rejected with all its problems" {
          let recipe = { quick with Epochs = 0; Batch = 0 }

          let text =
              messageOf<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ "epochs"; "batch" ] text
      }

      test "a full-precision network has no second stage" {
          let net = ResNet.resNet18 { Width = 0.125; Depth = 0.5 } CifarStem |> Net.withClasses 10

          let text =
              messageOf<TrainingException, _>(fun () ->
                  Pipeline.from data.Value |> Pipeline.trainBinaryFrom None quick net)

          contains [ "full-precision" ] text
      }

      test "a loss that is not finite ends the training with a remedy" {
          use folder = new TempFolder()
          let recipe = { quick with LearningRate = 1e30; Optimiser = Sgd 0.0; Clip = NoClipping }

          let text =
              messageOf<TrainingException, _>(fun () -> into folder.Path |> Pipeline.train recipe (tiny NoNorm))

          contains [ "stage activations"; "epoch 1"; "diverged"; "Lower the learning rate" ] text
      }

      test "weights that diverge in an epoch's last step are not written" {
          use folder = new TempFolder()
          // One step per epoch: only the evaluation can detect it.
          let recipe = { quick with Batch = 120; LearningRate = 1e30; Optimiser = Sgd 0.0; Clip = NoClipping }

          let text =
              messageOf<TrainingException, _>(fun () -> into folder.Path |> Pipeline.train recipe (tiny NoNorm))

          contains [ "on the test set" ] text
          Expect.isFalse (File.Exists((RunFolder.at folder.Path).Last 1)) "a checkpoint"
      } ]

/// The first k classes of a data set.
let private classesOf k (dataset: Dataset) =
    let first (source: ImageSource) =
        ImageSource.subset
            [| for i in 0 .. source.Count - 1 do
                   if source.Label i < k then
                       i |]
            source

    { dataset with
        Classes = dataset.Classes[.. k - 1]
        Train = first dataset.Train
        Test = first dataset.Test }

let private teacher = ResNet.resNet18 { Width = 0.125; Depth = 0.5 } CifarStem

let private saved path recipe net dataset =
    Pipeline.from dataset
    |> Pipeline.train recipe net
    |> Pipeline.save path
    |> useTrained (fun trained -> tensorBits trained.Network)

/// The warnings of a plan's training.
let private warned (train: Plan -> Trained<'w>) plan =
    let warnings = ResizeArray()

    let onEvent =
        function
        | Warning text -> warnings.Add text
        | _ -> ()

    plan |> Pipeline.onEvent onEvent |> train |> useTrained ignore
    List.ofSeq warnings

let private fineTuning =
    let net = tiny (BnFree 0.2)
    let once = { quick with Epochs = 1; Initialisation = Initialisation.Fixed }
    let four = lazy (classesOf 4 few.Value)

    let stages: (string * (string -> Plan -> string list)) list =
        [ "stage 1", (fun path -> warned (Pipeline.trainFrom (Some path) once (Net.withClasses 4 net)))
          "stage 2", (fun path -> warned (Pipeline.trainBinaryFrom (Some path) once (Net.withClasses 4 net))) ]

    [ for stage, train in stages do
          test $"{stage} from a checkpoint with another number of classes starts a new classifier, and says so once" {
              use folder = new TempFolder()
              let path = folder.File "ten.safetensors"
              saved path once net few.Value |> ignore
              let plan = Pipeline.from four.Value |> Pipeline.into (folder.File "run")
              let warning = train path plan |> List.exactlyOne
              contains [ path; "10 classes"; "has 4"; "the classifier starts with new weights" ] warning
              Expect.isEmpty (train path plan) "a finished run is not started again"
          }

          test $"{stage} from a checkpoint with the same classes loads everything, without a word" {
              use folder = new TempFolder()
              let path = folder.File "four.safetensors"
              saved path once (Net.withClasses 4 net) four.Value |> ignore
              Expect.isEmpty (train path (Pipeline.from four.Value)) "warnings"
          } ]

let private distilling =
    [ test "a student learns from a teacher's checkpoint, which does not change" {
          use folder = new TempFolder()
          let path = folder.File "teacher.safetensors"
          let weights = saved path quick (Net.withClasses 10 teacher) data.Value
          let bytes = File.ReadAllBytes path
          use loaded = Checkpoint.load torch.ScalarType.Float32 path
          sameBits (tensorBits loaded.Network) weights "the saved teacher"
          let recipe = { quick with Loss = Distillation path; Epochs = 4; Clip = NoClipping }

          let history =
              Pipeline.from data.Value |> Pipeline.train recipe (tiny (BnFree 0.2)) |> useTrained _.History

          Expect.isLessThan (List.last history).Train.Loss (List.head history).Train.Loss "the distillation loss falls"
          Expect.equal (File.ReadAllBytes path) bytes "the teacher's file"
      }

      test "a teacher of other classes is rejected" {
          use folder = new TempFolder()
          let path = folder.File "teacher.safetensors"
          saved path { quick with Epochs = 1 } (Net.withClasses 4 teacher) (classesOf 4 data.Value) |> ignore
          let recipe = { quick with Loss = Distillation path }

          let text =
              messageOf<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ path; "4 classes"; "the data set has 10" ] text
      }

      test "a distillation resumes if its teacher has moved, and rejects another teacher" {
          use folder = new TempFolder()
          let one, moved, other = folder.File "one", folder.File "moved", folder.File "other"
          let net = Net.withClasses 10 teacher
          saved one { quick with Epochs = 1 } net few.Value |> ignore
          saved other { quick with Epochs = 1; Seed = 2L } net few.Value |> ignore

          let plan () = Pipeline.from few.Value |> Pipeline.into (folder.File "run")
          let distilled path = { quick with Loss = Distillation path }
          stops (distilled one) (tiny NoNorm) (plan () |> interrupted true epochs 1)
          File.Move(one, moved)
          let again path () = both (distilled path) (tiny NoNorm) (plan ()) |> useTrained _.History

          contains
              [ "stage1.last.safetensors"; "different: teacher, whose weights differ"; one ]
              (messageOf<TrainingException, _>(again other))

          Expect.equal (stageNames (again moved ())) fourEpochs "epochs"
          let state = Checkpoint.readState ((RunFolder.at (folder.File "run")).Last 1)
          Expect.equal state.Recipe.Loss (Distillation moved) "the teacher's path"
      }

      test "a missing teacher is reported with its path" {
          let recipe = { quick with Loss = Distillation "/no/such/teacher.safetensors" }

          contains
              [ "/no/such/teacher.safetensors" ]
              (messageOf<IOException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm)))
      } ]

let tests =
    testList
        "pipelines"
        [ testList "running" running
          testList "resuming" PipelineResumingTests.resuming
          testList "fitting" fitting
          testList "fine-tuning" fineTuning
          testList "distilling" distilling
          testList "held out" PipelineImagesTests.heldOut
          testList "unreadable images" PipelineImagesTests.unreadable ]
