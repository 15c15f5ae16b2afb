/// Trainings that start from a trained network or learn from one: fine-tuning and distillation.
module NormFree.Tests.Training.PipelineTransferTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Pipelines
open NormFree.Tests.Training.Support
open TorchSharp

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

let fineTuning =
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

let distilling =
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
