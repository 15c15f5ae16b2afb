/// Images that cannot be read any more while a training goes on.
module NormFree.Tests.Training.VanishingTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

/// Eight batches an epoch.
let private recipe = { quick with Batch = 20 }

let private drawn = lazy (Synthetic.dataset 3L 160 40)

/// The drawn images, but that those of the first epoch's later batches cannot be read while `gone` is set.
let private vanishing (gone: bool ref) =
    let order = Loader.shuffled recipe.Seed 1_000_000 160
    let later = Set order[40..]
    let train = drawn.Value.Train

    let load i =
        if gone.Value && later.Contains i then
            Error "the disk is gone"
        else
            train.Load i

    { drawn.Value with Train = { train with Load = load } }

let private train strict (data: Dataset) watch (folder: string) =
    let plan = Pipeline.from data |> Pipeline.into folder |> Pipeline.watchedBy watch
    let plan = { plan with Options = { plan.Options with Strict = strict } }
    plan |> Pipeline.train recipe (tiny NoNorm) |> look _.History

/// What the run comes to with all its images, whether it is strict or not.
let private undisturbed =
    lazy
        (use folder = new TempFolder()
         train false (vanishing (ref false)) ignore folder.Path |> ignore
         Fingerprint.ofRun { Path = folder.Path })

let private unreadable event =
    match event with
    | ImageSkipped image -> Some image
    | _ -> None

/// Image folders of 32×32, as a user has them.
let private write (folder: TempFolder) =
    for split, source in [ "train", drawn.Value.Train; "test", drawn.Value.Test ] do
        for i in 0 .. source.Count - 1 do
            folder.Write($"images/{split}/{source.Label i}/{i}.png", png (ok (source.Load i))) |> ignore

    folder.File "images"

let tests =
    testList
        "images that go"
        [ for strict in [ false; true ] do
              test
                  $"under way: the run ends, keeps its steps, and goes on to the same end when they are back; strict: {strict}" {
                  use folder = new TempFolder()
                  let broken = folder.File "broken"
                  let gone = ref false
                  let events = ResizeArray()

                  let watch event =
                      events.Add event

                      match event with
                      | StageStarted _ -> gone.Value <- true
                      | _ -> ()

                  let text = message<DataException, _>(fun () -> train strict (vanishing gone) watch broken)
                  contains [ "the disk is gone"; "synthetic" ] text

                  if not strict then
                      contains [ "100 consecutive images" ] text

                      Expect.hasLength
                          (Seq.choose unreadable events)
                          80
                          "images told of, all before the batch that ends it"

                  let kept = Checkpoint.readState ((RunFolder.at broken).Last 1)
                  Expect.equal (kept.TrainingCursor.Step, kept.TrainingCursor.Progress.Places) (2, 40) "what is kept"
                  train strict (vanishing (ref false)) ignore broken |> ignore
                  Expect.equal (Fingerprint.ofRun { Path = broken }) undisturbed.Value "the run"
              }

          test
              "a folder that is moved away under way ends the run with the first image's name; nothing of the run is lost" {
              use folder = new TempFolder()
              let images, run = write folder, folder.File "run"
              let data = ok (Catalogue.load ImageFolder (Some images) Catalogue.defaults)
              let mutable steps = 0

              let watch event =
                  match event with
                  | StepDone _ ->
                      steps <- steps + 1

                      if steps = 9 then
                          Directory.Move(images, folder.File "away")
                  | _ -> ()

              let text = message<DataException, _>(fun () -> train false data watch run)
              contains [ images; ".png"; "no such file" ] text
              let kept = Checkpoint.readState ((RunFolder.at run).Last 1)
              Expect.equal kept.TrainingCursor.Epoch 1 "the first epoch is kept"
              Expect.isGreaterThan kept.TrainingCursor.Step 0 "and some steps of the second"
              Directory.Move(folder.File "away", images)
              let history = train false data ignore run
              Expect.hasLength history 2 "epochs"
              Expect.equal history[1].Test.Images 40 "test images"
          } ]
