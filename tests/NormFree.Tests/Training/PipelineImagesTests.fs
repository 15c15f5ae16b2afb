/// Which images a pipeline trains on: all but those that are held out or cannot be read.
module NormFree.Tests.Training.PipelineImagesTests

open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Pipelines
open NormFree.Tests.Training.Support
open TorchSharp

let heldOut =
    [ test "the best epoch is chosen on the part held out, deviation 12" {
          use folder = new TempFolder()
          let recipe = { quick with Epochs = 5; HeldOut = 0.25 }
          let history = into folder.Path |> Pipeline.train recipe (tiny BatchNorm) |> look _.History

          Expect.all
              history
              (fun r -> r.Train.Images = 90 && r.HeldOut.Value.Images = 30)
              "90 images to train on, 30 held out"

          let score (r: EpochRecord) = r.HeldOut.Value.Top1
          let top = history |> List.map score |> List.max
          let first = history |> List.find (fun r -> score r = top)
          use best = Checkpoint.load torch.ScalarType.Float32 ((RunFolder.at folder.Path).Best 1)
          Expect.equal (List.last best.State.History).Epoch first.Epoch "the first of the best epochs"
          // Loading prepares the images as the test does: the part held out is a part of the training set, without augmentation.
          let _, part = ImageSource.split 0.25 recipe.Seed data.Value.Train
          let found = Evaluation.accuracy RunOptions.Default best.ImageTask recipe.Batch best.Network part
          Expect.equal found first.HeldOut.Value "its accuracy there"
      }

      test "a share that holds out nothing is refused" {
          let recipe = { quick with HeldOut = 0.01 }

          let text =
              message<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ "Holding out 0.01 of 120"; "Choose another fraction" ] text
      } ]

/// The source with one image that cannot be read.
let private broken place (source: ImageSource) =
    { source with Load = fun i -> if i = place then Error "its bytes are damaged" else source.Load i }

let unreadable =
    let dataset = lazy { data.Value with Train = broken 17 data.Value.Train }

    [ test "an image that cannot be read is left out, told and counted" {
          let skipped = ResizeArray()

          let history =
              Pipeline.from dataset.Value
              |> Pipeline.watchedBy (function
                  | ImageSkipped image -> skipped.Add image.Name
                  | _ -> ())
              |> Pipeline.train quick (tiny NoNorm)
              |> look _.History

          Expect.all history (fun r -> r.Unreadable = 1 && r.Train.Images = 119) "one of 120 in every epoch"

          Expect.equal
              (List.ofSeq skipped)
              [ "synthetic train image 17"; "synthetic train image 17" ]
              "told once an epoch"
      }

      test "a run with an unreadable image can be gone on with" {
          use folder = new TempFolder()
          let plan () = Pipeline.from dataset.Value |> Pipeline.into folder.Path
          stops quick (tiny NoNorm) (plan () |> interrupted true epochs 1)
          let history = both quick (tiny NoNorm) (plan ()) |> look _.History
          Expect.equal (stageNames history) fourEpochs "epochs"
      }

      test "where the surroundings are strict, it ends the training" {
          let text =
              message<DataException, _>(fun () ->
                  Pipeline.from dataset.Value
                  |> runOptions (fun a -> { a with Strict = true })
                  |> Pipeline.train quick (tiny NoNorm))

          contains [ "synthetic train image 17"; "its bytes are damaged" ] text
      } ]
