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

/// Trains at a rate of 1e30 from the first epoch, which no valid learning rate reaches without this schedule.
let private diverging =
    { quick with
        LearningRate = 1.0
        Schedule = Step(1, 1e30)
        Deviations = { quick.Deviations with LastEpoch = Rule.Published }
        Optimiser = Sgd 0.0
        Clip = NoClipping }

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

          let text =
              messageOf<TrainingException, _>(fun () -> into folder.Path |> Pipeline.train diverging (tiny NoNorm))

          contains [ "stage activations"; "epoch 1"; "diverged"; "Lower the learning rate" ] text
      }

      test "weights that diverge in an epoch's last step are not written" {
          use folder = new TempFolder()
          // One step per epoch: only the evaluation can detect it.
          let recipe = { diverging with Batch = 120 }

          let text =
              messageOf<TrainingException, _>(fun () -> into folder.Path |> Pipeline.train recipe (tiny NoNorm))

          contains [ "on the test set" ] text
          Expect.isFalse (File.Exists((RunFolder.at folder.Path).Last 1)) "a checkpoint"
      } ]

let tests =
    testList
        "pipelines"
        [ testList "running" running
          testList "resuming" PipelineResumingTests.resuming
          testList "fitting" fitting
          testList "fine-tuning" PipelineTransferTests.fineTuning
          testList "distilling" PipelineTransferTests.distilling
          testList "held out" PipelineImagesTests.heldOut
          testList "unreadable images" PipelineImagesTests.unreadable ]
