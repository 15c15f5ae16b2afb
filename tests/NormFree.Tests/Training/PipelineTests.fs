module NormFree.Tests.Training.PipelineTests

open System
open System.IO
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Inference.Files
open NormFree.Spec
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private data = lazy (Drawn.dataset 3L 120 40)

/// Both stages of a recipe, from a plan.
let private both recipe net plan =
    plan |> Pipeline.train { recipe with WeightDecay = 1e-5 } net |> Pipeline.binariseWeights recipe

/// Other images under the same names.
let private other = lazy (Drawn.dataset 4L 120 40)

let private few = lazy (Drawn.dataset 3L 60 20)

let private into folder = Pipeline.from data.Value |> Pipeline.into folder

let private around change (plan: Plan) = { plan with Around = change plan.Around }

let private logits (trained: Trained<'w>) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    bits (trained.Network.Forward(images torch.ScalarType.Float32 "pipeline" 10, Evaluate))

let private stageNames (history: EpochRecord list) = history |> List.map (fun r -> $"{r.Stage} {r.Epoch}/{r.Epochs}")

let private fourEpochs =
    [ "activations 1/2"; "activations 2/2"; "activations+weights 1/2"; "activations+weights 2/2" ]

let private running =
    [ for norm in norms do
          test $"{Words.norm norm}: two stages run, and the history has both" {
              use folder = new TempFolder()
              let trained = both quick (tiny norm) (into folder.Path)
              let history = trained.History
              Expect.equal (stageNames history) fourEpochs "epochs"

              Expect.equal
                  (trained.Network.Spec |> Net.binaryBody |> Option.map _.Binarise)
                  (Some ActivationsAndWeights)
                  "weights are binary"

              let run = Pipeline.finish trained
              Expect.equal run.Epochs history "the finished run's epochs"
              Expect.equal run.Label (Words.norm norm) "its label"
              let kept = RunFolder.readRun (RunFolder.at folder.Path)
              Expect.equal kept run "the run in the folder"

              Expect.all
                  history
                  (fun r -> r.Train.Images = 120 && r.Test.Images = 40 && r.Unreadable = 0 && r.HeldOut = None)
                  "images"

              Expect.all
                  history
                  (fun r -> Double.IsFinite r.Test.Loss && r.Train.Loss > 0.0 && r.Test.Top1 <= r.Test.Top5)
                  "accuracies"

              let keys = kept.Configuration |> List.map fst
              Expect.equal keys (List.distinct keys) "every setting is told once"

              Expect.containsAll
                  keys
                  [ "architecture"; "norm"; "activations: epochs"; "activations+weights: weight decay" ]
                  "settings"
          }

      test "a run ends with a packed network, which only binary weights have" {
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
          let takes = (Array.head ((nonNull (pipeline.GetMethod "pack")).GetParameters())).ParameterType
          Expect.equal takes typeof<Trained<BinaryWeights>> "what can be packed"
      }

      test "the same seed gives the same logits, bit for bit, and another seed others" {
          let run seed = Pipeline.from data.Value |> both { quick with Seed = seed } (tiny (BnFree 0.2)) |> look logits

          Expect.equal (run 1L) (run 1L) "seed 1 twice"
          Expect.notEqual (run 1L) (run 2L) "seeds 1 and 2"
      }

      test "one worker and three give the same weights, bit for bit" {
          let run workers =
              Pipeline.from data.Value
              |> around (fun a -> { a with Workers = workers })
              |> both quick (tiny BatchNorm)
              |> look (fun trained -> tensorBits trained.Network)

          sameBits (run 1) (run 3) "weights"
      }

      test "a training learns" {
          let recipe = { quick with Epochs = 6; Clip = NoClipping }

          let history = Pipeline.from data.Value |> Pipeline.train recipe (tiny BatchNorm) |> look _.History

          Expect.isLessThan (List.last history).Train.Loss (List.head history).Train.Loss "loss of the last epoch"
      }

      test "events tell the stages, steps and epochs" {
          let events = ResizeArray()

          Pipeline.from data.Value |> Pipeline.watchedBy events.Add |> both quick (tiny NoNorm) |> look ignore

          let count choose = events |> Seq.choose choose |> Seq.length

          Expect.equal
              (count (function
                  | StageBegins(_, 2, 120) -> Some()
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

          Expect.equal events.Count 30 "events in all"
      } ]

exception private Interrupted

/// What a run left behind: all bytes of its last and best checkpoints, and its log without times.
let private remains folder =
    let folder = RunFolder.at folder

    let tensors =
        [ for path in [ folder.Last 1; folder.Best 1; folder.Last 2; folder.Best 2 ] do
              for name, bytes in fileBits path do
                  $"{Path.GetFileName path}: {name}", bytes ]

    let run = RunFolder.readRun folder
    tensors, timeless run.Epochs, run.Configuration, run.Finished

/// Stops a plan at its nth finished epoch or step: by the token, or by an exception out of Watch.
let private interrupted byToken isEvent n (plan: Plan) =
    let source = new CancellationTokenSource()
    let mutable seen = 0

    plan
    |> around (fun a ->
        { a with
            Cancellation = source.Token
            Watch =
                fun event ->
                    if isEvent event then
                        seen <- seen + 1

                        if seen = n then
                            if byToken then source.Cancel() else raise Interrupted })

let private epochs =
    function
    | EpochDone _ -> true
    | _ -> false

let private steps =
    function
    | StepDone _ -> true
    | _ -> false

let private stops recipe net plan =
    try
        both recipe net plan |> look ignore
        failtest "the run was not interrupted"
    with
    | Interrupted
    | :? OperationCanceledException -> ()

/// A short recipe in which everything that is random or has a state is on: 5 steps an epoch.
let private stateful = { quick with Batch = 10; HeldOut = 0.2; WarmUp = 1; WeightDecay = 1e-3 }

let private sameRun expected path =
    let tensors, log, configuration, finished = expected
    let tensors', log', configuration', finished' = remains path
    sameBits tensors' tensors "checkpoints"
    Expect.equal log' log "log"
    Expect.equal configuration' configuration "configuration"
    Expect.equal finished' finished "finished"

let private resuming =
    [ for norm in norms do
          test $"{Words.norm norm}: a run that is interrupted and run again ends bit for bit as one that is not" {
              use folder = new TempFolder()
              let net, whole = tiny norm, folder.File "whole"
              let into path = Pipeline.from few.Value |> Pipeline.into path
              both stateful net (into whole) |> look ignore
              let expected = remains whole

              for name, byToken, event, n in
                  [ "token after the first epoch", true, epochs, 1
                    "exception after the first epoch", false, epochs, 1
                    "token after stage 2's first epoch", true, epochs, 3
                    "exception in stage 2's second epoch", false, steps, 17 ] do
                  let path = folder.File name
                  stops stateful net (into path |> interrupted byToken event n)

                  Expect.isFalse
                      (RunFolder.readRun (RunFolder.at path)).Finished
                      $"{name}: the log says that it is not done"

                  both stateful net (into path) |> look ignore
                  sameRun expected path
          }

      test "a cancelled run takes no further step" {
          let mutable taken = 0

          let plan = Pipeline.from data.Value |> interrupted true steps 3

          let plan =
              plan
              |> around (fun a ->
                  { a with
                      Watch =
                          fun event ->
                              a.Watch event

                              if steps event then
                                  taken <- taken + 1 })

          stops quick (tiny NoNorm) plan
          Expect.equal taken 3 "steps"
      }

      test "a finished run is read and not trained again" {
          use folder = new TempFolder()

          let run plan =
              both quick (tiny BatchNorm) plan
              |> look (fun trained -> tensorBits trained.Network, trained.History)

          let first = run (into folder.Path)
          let before = remains folder.Path
          let written = File.GetLastWriteTimeUtc((RunFolder.at folder.Path).Last 2)
          let events = ResizeArray()
          let second = into folder.Path |> Pipeline.watchedBy events.Add |> run
          sameBits (fst second) (fst first) "weights"
          Expect.equal (snd second) (snd first) "history"
          Expect.isFalse (Seq.exists steps events) "steps"
          Expect.contains events (Resumed("activations+weights", 2, 0)) "it says so"

          Expect.equal
              (File.GetLastWriteTimeUtc((RunFolder.at folder.Path).Last 2))
              written
              "the checkpoint is not written again"

          sameRun before folder.Path
      }

      test "an older run is refused with another recipe, by the names of what differs, and goes on with its own" {
          use folder = new TempFolder()
          let net = tiny NoNorm
          stops stateful net (Pipeline.from few.Value |> Pipeline.into folder.Path |> interrupted true steps 3)
          age ((RunFolder.at folder.Path).Last 1)
          let warnings = ResizeArray()

          let run recipe =
              Pipeline.from few.Value
              |> Pipeline.into folder.Path
              |> Pipeline.watchedBy (function
                  | Warning text -> warnings.Add text
                  | _ -> ())
              |> both recipe net
              |> look _.History

          let text = message<TrainingException, _>(fun () -> run stateful)

          contains
              [ "not the same: recipe, in its activations: deviation 14, rates; activations: deviation 15, balance" ]
              text

          let older = { stateful.Deviations with Rates = Rule.Published; Balance = Rule.Published }
          Expect.equal (stageNames (run { stateful with Deviations = older })) fourEpochs "epochs"
          contains [ "older version"; "falls step by step" ] (Seq.exactlyOne warnings)
          Expect.equal (run { stateful with Deviations = older }).Length 4 "once more"
          Expect.hasLength warnings 1 "told once"
      }

      test "other settings in the folder of a run are refused, and the run stays" {
          use folder = new TempFolder()

          let train recipe net dataset =
              Pipeline.from dataset |> Pipeline.into folder.Path |> Pipeline.train recipe net |> look ignore

          train quick (tiny NoNorm) data.Value
          let before = fileBits ((RunFolder.at folder.Path).Last 1)
          let described = RunFolder.readRun (RunFolder.at folder.Path)

          for name, recipe, net, dataset in
              [ "learning rate", { quick with LearningRate = 1e-3 }, tiny NoNorm, data.Value
                "seed", { quick with Seed = 2L }, tiny NoNorm, data.Value
                "epochs", { quick with Epochs = 3 }, tiny NoNorm, data.Value
                "deviations", { quick with Deviations = Deviations.Published }, tiny NoNorm, data.Value
                "norm", quick, tiny BatchNorm, data.Value
                "data set", quick, tiny NoNorm, { data.Value with Name = "other" }
                "number of images", quick, tiny NoNorm, Dataset.limit 100 40 1L data.Value
                "number of test images", quick, tiny NoNorm, Dataset.limit 120 30 1L data.Value
                "training images", quick, tiny NoNorm, { data.Value with Train = other.Value.Train }
                "test images", quick, tiny NoNorm, { data.Value with Test = other.Value.Test }
                "augmentation",
                quick,
                tiny NoNorm,
                { data.Value with Augmentation = { data.Value.Augmentation with Train = [ Flip ] } } ] do
              let text = message<TrainingException, _>(fun () -> train recipe net dataset)

              contains
                  [ "stage1.last.safetensors"; "another network, recipe or data set"; "choose another folder" ]
                  text

              sameBits (fileBits ((RunFolder.at folder.Path).Last 1)) before name
              Expect.equal (RunFolder.readRun (RunFolder.at folder.Path)) described $"{name}: the run's description"
      } ]

let private fitting =
    [ test "a network with other classes than the data set is refused" {
          let net = tiny NoNorm |> Net.withClasses 100
          let text = message<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train quick net)
          contains [ "100 classes"; "drawn has 10" ] text
      }

      test "a network that images are too small for is refused" {
          let small = { data.Value with Size = 2 }

          let text =
              message<TrainingException, _>(fun () -> Pipeline.from small |> Pipeline.train quick (tiny NoNorm))

          contains [ "2×2" ] text
      }

      test "a batch of one image is refused where batch norm would see one value a channel" {
          let data = Drawn.dataset 3L 11 10
          let net = ReActNet.reactNet18 { Width = 0.125; Depth = 0.25 } ImageNetStem |> Net.withClasses 10
          let train norm = Pipeline.from data |> Pipeline.train { quick with Batch = 5 } (Net.withNorm norm net)
          contains [ "batch of one image"; "1×1" ] (message<TrainingException, _>(fun () -> train BatchNorm))
          using (train NoNorm) ignore
      }

      test "an invalid recipe is refused with all its problems" {
          let recipe = { quick with Epochs = 0; Batch = 0 }

          let text =
              message<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ "epochs"; "batch" ] text
      }

      test "a full-precision network has no second stage" {
          let net = ResNet.resNet18 { Width = 0.125; Depth = 0.5 } CifarStem |> Net.withClasses 10

          let text =
              message<TrainingException, _>(fun () ->
                  Pipeline.from data.Value |> Pipeline.trainBinaryFrom None quick net)

          contains [ "full-precision" ] text
      }

      test "a loss that is not finite ends the training and says what to do" {
          use folder = new TempFolder()
          let recipe = { quick with LearningRate = 1e30; Optimiser = Sgd 0.0; Clip = NoClipping }

          let text =
              message<TrainingException, _>(fun () -> into folder.Path |> Pipeline.train recipe (tiny NoNorm))

          contains [ "stage activations"; "epoch 1"; "diverged"; "Lower the learning rate" ] text
      }

      test "weights that diverge in an epoch's last step are not kept" {
          use folder = new TempFolder()
          // One step an epoch: only the test set can tell.
          let recipe = { quick with Batch = 120; LearningRate = 1e30; Optimiser = Sgd 0.0; Clip = NoClipping }

          let text =
              message<TrainingException, _>(fun () -> into folder.Path |> Pipeline.train recipe (tiny NoNorm))

          contains [ "on the test set" ] text
          Expect.isFalse (File.Exists((RunFolder.at folder.Path).Last 1)) "a checkpoint"
      } ]

/// A data set of the first k classes of the drawn one.
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
    |> look (fun trained -> tensorBits trained.Network)

let private distilling =
    [ test "a student learns from a teacher's checkpoint, which stays as it is" {
          use folder = new TempFolder()
          let path = folder.File "teacher.safetensors"
          let weights = saved path quick (Net.withClasses 10 teacher) data.Value
          let bytes = File.ReadAllBytes path
          use loaded = Checkpoint.load torch.ScalarType.Float32 path
          sameBits (tensorBits loaded.Network) weights "the saved teacher"
          let recipe = { quick with Loss = Distillation path; Epochs = 4; Clip = NoClipping }
          let history = Pipeline.from data.Value |> Pipeline.train recipe (tiny (BnFree 0.2)) |> look _.History
          Expect.isLessThan (List.last history).Train.Loss (List.head history).Train.Loss "the distillation loss falls"
          Expect.equal (File.ReadAllBytes path) bytes "the teacher's file"
      }

      test "a teacher of other classes is refused" {
          use folder = new TempFolder()
          let path = folder.File "teacher.safetensors"
          saved path { quick with Epochs = 1 } (Net.withClasses 4 teacher) (classesOf 4 data.Value) |> ignore
          let recipe = { quick with Loss = Distillation path }

          let text =
              message<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ path; "4 classes"; "the data set has 10" ] text
      }

      test "a taught run goes on with its teacher elsewhere, and not with another one" {
          use folder = new TempFolder()
          let one, moved, other = folder.File "one", folder.File "moved", folder.File "other"
          let net = Net.withClasses 10 teacher
          saved one { quick with Epochs = 1 } net few.Value |> ignore
          saved other { quick with Epochs = 1; Seed = 2L } net few.Value |> ignore

          let plan () = Pipeline.from few.Value |> Pipeline.into (folder.File "run")
          let taught path = { quick with Loss = Distillation path }
          stops (taught one) (tiny NoNorm) (plan () |> interrupted true epochs 1)
          File.Move(one, moved)
          let again path () = both (taught path) (tiny NoNorm) (plan ()) |> look _.History

          contains
              [ "stage1.last.safetensors"; "not the same: teacher, which has other weights"; one ]
              (message<TrainingException, _>(again other))

          Expect.equal (stageNames (again moved ())) fourEpochs "epochs"
          let state = Checkpoint.readState ((RunFolder.at (folder.File "run")).Last 1)
          Expect.equal state.Recipe.Loss (Distillation moved) "where the teacher is now"
      }

      test "a teacher that is not there is told by its path" {
          let recipe = { quick with Loss = Distillation "/no/such/teacher.safetensors" }

          contains
              [ "/no/such/teacher.safetensors" ]
              (message<IOException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm)))
      } ]

let private heldOut =
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
          let found = Evaluation.accuracy Surroundings.Default best.Task recipe.Batch best.Network part
          Expect.equal found first.HeldOut.Value "its accuracy there"
      }

      test "a share that holds out nothing is refused" {
          let recipe = { quick with HeldOut = 0.01 }

          let text =
              message<TrainingException, _>(fun () -> Pipeline.from data.Value |> Pipeline.train recipe (tiny NoNorm))

          contains [ "Holding out 0.01 of 120"; "Take another share" ] text
      } ]

/// The source with one image that cannot be read.
let private broken place (source: ImageSource) =
    { source with Load = fun i -> if i = place then Error "its bytes are damaged" else source.Load i }

let private unreadable =
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
          Expect.equal (List.ofSeq skipped) [ "drawn train image 17"; "drawn train image 17" ] "told once an epoch"
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
                  |> around (fun a -> { a with Strict = true })
                  |> Pipeline.train quick (tiny NoNorm))

          contains [ "drawn train image 17"; "its bytes are damaged" ] text
      } ]

/// Sequenced: two trainings at once on few cores take longer than one after the other.
let tests =
    testSequenced
    <| testList
        "pipelines"
        [ testList "running" running
          testList "resuming" resuming
          testList "fitting" fitting
          testList "distilling" distilling
          testList "held out" heldOut
          testList "unreadable images" unreadable ]
