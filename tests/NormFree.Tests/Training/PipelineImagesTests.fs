/// Held-out and unreadable images of a pipeline.
module NormFree.Tests.Training.PipelineImagesTests

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

let heldOut =
    [ test "the best epoch is chosen on the held-out images (deviation 12)" {
          use folder = new TempFolder()
          let recipe = { quick with Epochs = 5; HeldOut = 0.25 }
          let history = into folder.Path |> Pipeline.train recipe (tiny BatchNorm) |> useTrained _.History

          Expect.all
              history
              (fun r -> r.Train.Images = 90 && r.HeldOut.Value.Images = 30)
              "90 images to train on, 30 held out"

          let score (r: EpochRecord) = r.HeldOut.Value.Top1
          let top = history |> List.map score |> List.max
          let error = sqrt (top * (1.0 - top) / 30.0)
          let chosen = history |> List.findBack (fun r -> score r >= top - error)
          use best = Checkpoint.load torch.ScalarType.Float32 ((RunFolder.at folder.Path).Best 1)
          Expect.equal (List.last best.State.History).Epoch chosen.Epoch "the latest epoch within a standard error"
          // Held-out images are training images, evaluated without augmentation.
          let _, part = ImageSource.split 0.25 recipe.Seed data.Value.Train
          let found = Evaluation.accuracy RunOptions.Default best.ImageTask recipe.Batch best.Network part
          Expect.equal found chosen.HeldOut.Value "its accuracy there"
      }

      test "a fraction that holds out no image is rejected" {
          let recipe = { quick with HeldOut = 0.01 }

          let text =
              messageOf<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ "Holding out 0.01 of 120"; "Choose another fraction" ] text
      } ]

/// The source with one unreadable image.
let private broken index (source: ImageSource) =
    { source with Load = fun i -> if i = index then Error "its bytes are damaged" else source.Load i }

let unreadable =
    let dataset = lazy { data.Value with Train = broken 17 data.Value.Train }

    [ test "an unreadable image is skipped, reported and counted" {
          let skipped = ResizeArray()

          let history =
              Pipeline.from dataset.Value
              |> Pipeline.onEvent (function
                  | ImageSkipped image -> skipped.Add image.Name
                  | _ -> ())
              |> Pipeline.train quick (tiny NoNorm)
              |> useTrained _.History

          Expect.all history (fun r -> r.Unreadable = 1 && r.Train.Images = 119) "one of 120 in every epoch"

          Expect.equal
              (List.ofSeq skipped)
              [ "synthetic train image 17"; "synthetic train image 17" ]
              "reported once per epoch"
      }

      test "a run with an unreadable image can be resumed" {
          use folder = new TempFolder()
          let plan () = Pipeline.from dataset.Value |> Pipeline.into folder.Path
          stops quick (tiny NoNorm) (plan () |> interrupted true epochs 1)
          let history = both quick (tiny NoNorm) (plan ()) |> useTrained _.History
          Expect.equal (stageNames history) fourEpochs "epochs"
      }

      test "with Strict, an unreadable image ends the training" {
          let text =
              messageOf<DataException, _>(fun () ->
                  Pipeline.from dataset.Value
                  |> runOptions (fun a -> { a with Strict = true })
                  |> Pipeline.train quick (tiny NoNorm))

          contains [ "synthetic train image 17"; "its bytes are damaged" ] text
      } ]
