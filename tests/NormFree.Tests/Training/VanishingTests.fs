/// Images that become unreadable during a training.
module NormFree.Tests.Training.VanishingTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

/// Eight batches per epoch.
let private recipe = { quick with Batch = 20 }

let private synthetic = lazy (Synthetic.dataset 3L 160 40)

/// The synthetic images; those of the first epoch's later batches are unreadable while `gone` is set.
let private vanishing (gone: bool ref) =
    let order = Loader.shuffled recipe.Seed 1_000_000 160
    let later = Set order[40..]
    let train = synthetic.Value.Train

    let load i =
        if gone.Value && later.Contains i then
            Error "the disk is gone"
        else
            train.Load i

    { synthetic.Value with Train = { train with Load = load } }

let private train strict (data: Dataset) handler (folder: string) =
    let plan = Pipeline.from data |> Pipeline.into folder |> Pipeline.onEvent handler
    let plan = { plan with Options = { plan.Options with Strict = strict } }
    plan |> Pipeline.train recipe (tiny NoNorm) |> useTrained _.History

/// The fingerprint of a run in which all images are readable.
let private expected =
    lazy
        (use folder = new TempFolder()
         train false (vanishing (ref false)) ignore folder.Path |> ignore
         Fingerprint.ofRun { Path = folder.Path })

let private unreadable event =
    match event with
    | ImageSkipped image -> Some image
    | _ -> None

/// Writes the images as an image folder.
let private write (folder: TempFolder) =
    for split, source in [ "train", synthetic.Value.Train; "test", synthetic.Value.Test ] do
        for i in 0 .. source.Count - 1 do
            folder.Write($"images/{split}/{source.Label i}/{i}.png", png (ok (source.Load i))) |> ignore

    folder.File "images"

let tests =
    testList
        "images that go"
        [ for strict in [ false; true ] do
              test
                  $"a run without its images ends, writes a checkpoint, and resumes to the same bits when they are back; strict: {strict}" {
                  use folder = new TempFolder()
                  let broken = folder.File "broken"
                  let gone = ref false
                  let events = ResizeArray()

                  let handler event =
                      events.Add event

                      match event with
                      | StageStarted _ -> gone.Value <- true
                      | _ -> ()

                  let text = messageOf<DataException, _>(fun () -> train strict (vanishing gone) handler broken)
                  contains [ "the disk is gone"; "synthetic" ] text

                  if not strict then
                      contains [ "100 consecutive images" ] text

                      Expect.hasLength (Seq.choose unreadable events) 80 "images reported, all before the last batch"

                  let saved = Checkpoint.readState ((RunFolder.at broken).Last 1)

                  Expect.equal
                      (saved.TrainingCursor.Step, saved.TrainingCursor.Progress.Places)
                      (2, 40)
                      "the checkpoint"

                  train strict (vanishing (ref false)) ignore broken |> ignore
                  Expect.equal (Fingerprint.ofRun { Path = broken }) expected.Value "the run"
              }

          test "if the image folder is moved, the run ends with the first image's name and loses no step" {
              use folder = new TempFolder()
              let images, run = write folder, folder.File "run"
              let data = ok (Catalogue.load ImageFolder (Some images) Catalogue.defaults)
              let handler = atStep 9 (fun () -> Directory.Move(images, folder.File "away"))

              let text = messageOf<DataException, _>(fun () -> train false data handler run)
              contains [ images; ".png"; "no such file" ] text
              let saved = Checkpoint.readState ((RunFolder.at run).Last 1)
              Expect.equal saved.TrainingCursor.Epoch 1 "the first epoch"
              Expect.isGreaterThan saved.TrainingCursor.Step 0 "and some steps of the second"
              Directory.Move(folder.File "away", images)
              let history = train false data ignore run
              Expect.hasLength history 2 "epochs"
              Expect.equal history[1].Test.Images 40 "test images"
          } ]
