/// Defaults by the number of images, the choice of the best epoch, and learning-rate range tests.
module NormFree.Tests.Training.ImageDefaultsTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

let private chosen images side = ImageDefaults.choose { Images = images; ShortSide = side }

let private defaults =
    testList
        "defaults"
        [ test "the input grows with the number of images, and is never larger than they are" {
              for images, side, size in
                  [ 144, 300, 64
                    1_999, 300, 64
                    2_000, 300, 128
                    50_000, 500, 224
                    50_000, 200, 192
                    144, 50, 32
                    144, 10, 32 ] do
                  Expect.equal (chosen images side).Size size $"{images} images of {side} pixels"
          }

          test "an epoch has 20 steps or more from 80 images on" {
              for images in [ 80; 81; 144; 159; 160; 500; 1_279; 1_280; 100_000 ] do
                  let batch = (chosen images 224).Batch
                  Expect.isTrue (batch >= 4 && batch <= 64) $"batch {batch}"

                  Expect.isGreaterThanOrEqual
                      (ImageDefaults.stepsPerEpoch images batch)
                      ImageDefaults.minSteps
                      $"{images} images"
          }

          test "few images are seen more often, and are trained on with a smaller network" {
              let few, many = chosen 144 224, chosen 100_000 224
              Expect.equal (few.Epochs, few.Width, few.Batch) (50, 1.0, 7) "few"
              Expect.equal (many.Epochs, many.Width, many.Batch) (10, 2.0, 64) "many"
              Expect.isLessThan few.LearningRate many.LearningRate "learning rates"
              Expect.equal (few.CutMix, few.WeightAverage) (true, Some 0.99) "few are regularised"
              Expect.equal (many.CutMix, many.WeightAverage) (false, None) "many are not"
          } ]

let private epoch number heldOut top1 : EpochRecord =
    let accuracy = { Loss = 1.0; Top1 = top1; Top5 = 1.0; Images = 100 }

    { Stage = "activations"
      Epoch = number
      Epochs = 4
      LearningRate = 1e-3
      Train = accuracy
      Test = accuracy
      HeldOut = if heldOut then Some accuracy else None
      Clipped = 0.0
      ClippedOf = []
      Unreadable = 0
      Health = None
      Seconds = 1.0 }

let private best heldOut scores =
    (scores |> List.mapi (fun i score -> epoch (i + 1) heldOut score) |> EpochRecord.best).Epoch

let private bestEpoch =
    testList
        "the best epoch"
        [ test "on test images is the first one with the highest accuracy" {
              Expect.equal (best false [ 0.5; 0.8; 0.8; 0.79 ]) 2 "epoch"
          }

          test "on held-out images is the latest one within a standard error of the highest accuracy" {
              // 100 images: the standard error of 0.8 is 0.04.
              Expect.equal (best true [ 0.5; 0.8; 0.77; 0.75 ]) 3 "epoch"
              Expect.equal (best true [ 0.5; 0.8; 0.75; 0.75 ]) 2 "none is within it"
              Expect.equal (best true [ 0.79; 0.5; 0.8; 0.77 ]) 4 "the last one"
              Expect.equal (best true [ 1.0; 1.0; 0.99 ]) 2 "no error at 100 %"
          }

          test "is always the newest one or the best one before" {
              let random = System.Random 5

              for _ in 1..200 do
                  let scores = [ for _ in 1..12 -> float (random.Next(60, 80)) / 100.0 ]

                  for count in 2..12 do
                      let before, now =
                          best true (List.truncate (count - 1) scores), best true (List.truncate count scores)

                      Expect.isTrue (now = count || now = before) $"{scores}: {before}, then {now}"
          }

          test "is the one whose network the run keeps" {
              use folder = new TempFolder()
              let recipe = { quick with HeldOut = 0.4; Epochs = 4 }

              let run =
                  Pipeline.from (Synthetic.dataset 3L 60 20)
                  |> Pipeline.into folder.Path
                  |> Pipeline.train recipe (tiny (BnFree 0.2))
                  |> Pipeline.finish

              let _, _, best = run.Stages.Head
              let kept = BestCheckpoint.tryEpoch { Path = folder.Path } 1 |> Option.get
              Expect.equal kept.Epoch best.Epoch "epoch"
          } ]

let private falling rate = 3.0 - 2.0 * min 1.0 (rate / 1e-2) + (if rate > 0.1 then 1e3 * rate else 0.0)

let private trials loss = [ for i in 0..99 -> (let rate = 1e-6 * 1e6 ** (float i / 99.0) in rate, loss rate) ]

let private rates =
    testList
        "a learning-rate range test"
        [ test "suggests a tenth of the best rate, and ends where the loss explodes" {
              let test = LearningRateTest.evaluate (trials falling)
              let suggestion = Option.get test.Suggestion
              Expect.isTrue (suggestion > 1e-3 && suggestion < 2e-2) $"suggestion {suggestion}"
              Expect.isLessThan test.Trials.Length 95 "steps"
          }

          test "suggests nothing if the loss does not fall, and copes with NaN" {
              Expect.isNone (LearningRateTest.evaluate (trials (fun _ -> 1.0))).Suggestion "constant"
              Expect.isNone (LearningRateTest.evaluate (trials (fun _ -> nan))).Suggestion "NaN"
              Expect.isEmpty (LearningRateTest.evaluate []).Trials "no step"
          }

          test "runs on a network, and leaves its run folder empty" {
              use folder = new TempFolder()
              let plan = Pipeline.from (Synthetic.dataset 3L 40 20) |> Pipeline.into (folder.File "run")
              let net = tiny (BnFree 0.2)
              let run () = LearningRateTest.run Activations None { quick with Batch = 10 } net plan
              let test = run ()
              Expect.isGreaterThan test.Trials.Length 20 "steps"
              Expect.equal (run ()) test "the same again"
              Expect.isFalse (RunFolder.holdsRun { Path = folder.File "run" }) "no run"
          } ]

let private oldFiles =
    test "fields that a version added are completed in files of earlier ones" {
        let old = """{"Recipe":{"HeldOut":0.5},"Dataset":{"AllowLeftOut":null}}"""

        contains [ "\"HeldOut\":0.5"; "\"Freeze\":0" ] (ok (OldNames.addFields old))

        let today = ok (OldNames.addFields """{"HeldOut":0.5,"Freeze":3}""")
        Expect.stringContains today "\"Freeze\":3" "a field that is there is kept"

        // Options need no default.
        let dataset = Json.write DatasetConfiguration.Empty
        let older = dataset.Replace(",\"Preprocessing\":null", "").Replace(",\"Normalisation\":null", "")
        Expect.notEqual older dataset "two fields less"
        Expect.equal (Json.read older) (Ok DatasetConfiguration.Empty) "read as None"

        match OldNames.addFields """{"Stage1":{"A":1,"A":2}}""" with
        | Error why -> contains [ "Duplicate"; "'A'" ] why
        | Ok text -> failtest text
    }

/// The fields that were added since, as run folders and checkpoints have them.
let private addedFields =
    [ "\"Freeze\":0,"; "\"Remeasure\":null,"; "\"WeightAverage\":null,"; "\"Sign\":null," ]

let private olderRun =
    test "a run folder of an earlier version is read, and its stage is not trained again" {
        use folder = new TempFolder()
        let run = RunFolder.at folder.Path
        let older (text: string) = (text, addedFields) ||> List.fold (fun text field -> text.Replace(field, ""))

        let train () =
            Pipeline.from (Synthetic.dataset 3L 40 20)
            |> Pipeline.into folder.Path
            |> Pipeline.train { quick with Epochs = 1 } (tiny (BnFree 0.2))
            |> Pipeline.finish

        let before = train ()
        let path = run.Last 1
        File.Move(rewrite path (fun _ -> true) (fun _ text -> older text), path, true)
        let description = Path.Combine(folder.Path, "run.json")
        let compact = (nonNull (JsonNode.Parse(File.ReadAllText description))).ToJsonString()
        Expect.notEqual (older compact) compact "a field was removed"
        File.WriteAllText(description, older compact)
        Expect.equal (Checkpoint.readState path).Recipe { quick with Epochs = 1 } "recipe"
        Expect.equal (RunFolder.readRun run).Epochs before.Epochs "log"
        Expect.equal (train ()).Epochs before.Epochs "resumed"
    }

let tests = testList "own images" [ defaults; bestEpoch; rates; oldFiles; olderRun ]
