/// A real training with a NaN loss for one image, because the teacher's logit for it is infinite.
module NormFree.Tests.Training.OverflowTests

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training.Support
open TorchSharp

/// Without augmentation, so that the teacher gets the original images.
let private data = lazy { Synthetic.dataset 3L 60 20 with Augmentation = Augmentation.none }

let private batchSize = 10

/// The network's first logit for every training image.
let private firstLogits (network: Network) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let source = data.Value.Train
    let options = { Loader.testing data.Value source.Count with Workers = 1 }
    let batch = Loader.read options source (Loader.inOrder source.Count) |> Seq.exactlyOne
    let logits = network.Forward(fst (Evaluation.tensors network batch), Evaluate)
    logits.select(1L, 0L).data<float32>().ToArray()

/// A network whose first logit is a large multiple of one feature, which overflows float32 for exactly one image. The network's file and the
/// image's index.
let private teacher =
    lazy
        (let folder = new TempFolder()
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> (folder :> IDisposable).Dispose())
         use network = RandomNetwork.create 5L (tiny BatchNorm)
         let parameter key = network.Parameters |> List.find (fun (p, _) -> p.Key = key) |> snd
         let weight, bias = parameter "fc.weight", parameter "fc.bias"

         let only (feature: int64) (times: float32) =
             use _ = torch.no_grad ()
             weight.zero_ () |> ignore
             bias.zero_ () |> ignore
             weight[0, feature] <- torch.tensor times

         // The feature with the largest ratio of its two highest values.
         let feature, image, scale =
             [ for feature in 0L .. weight.shape[1] - 1L do
                   only feature 1f
                   let values = firstLogits network |> Array.map float
                   let sorted = Array.sortDescending values

                   if sorted[1] > 1.0 then
                       feature, Array.IndexOf(values, sorted[0]), (sorted[0], sorted[1]) ]
             |> List.maxBy (fun (_, _, (first, second)) -> first / second)

         only feature (float32 (float Single.MaxValue / sqrt (fst scale * snd scale)))
         let infinite = firstLogits network |> Array.indexed |> Array.filter (snd >> Single.IsFinite >> not)
         Expect.equal infinite [| image, infinityf |] "images with an infinite logit"

         let checkpoint = asCheckpoint 32 network
         let path = folder.File "teacher.safetensors"
         Checkpoint.save path None { checkpoint with ImageTask = ImageTask.Of data.Value }
         path, image)

let private recipe () = { quick with Batch = batchSize; Loss = Distillation(fst teacher.Value) }

/// The step of an epoch, from 1, whose batch contains the image.
let private stepOf epoch =
    let order = Loader.shuffled quick.Seed (1_000_000 + epoch) 60
    Array.IndexOf(order, snd teacher.Value) / batchSize + 1

type private Run = { Path: string; History: EpochRecord list; Issues: NumericalIssue list }

let private train rule engine every norm (cancellation: CancellationToken) handler path =
    let issues = ResizeArray()

    let onEvent event =
        handler event

        match event with
        | NumericalIssueFound issue -> issues.Add issue
        | _ -> ()

    let plan = Pipeline.from data.Value |> Pipeline.into path |> Pipeline.onEvent onEvent

    let runOptions =
        { plan.Options with
            OnNonFinite = rule
            Execution = { plan.Options.Execution with Engine = engine }
            CheckpointPolicy = { Checkpoints = 2; Every = every }
            Cancellation = cancellation }

    let history =
        { plan with Options = runOptions } |> Pipeline.train (recipe ()) (tiny norm) |> useTrained _.History

    { Path = path; History = history; Issues = List.ofSeq issues }

let private never, always = TimeSpan.FromDays 1.0, TimeSpan.Zero
let private whole rule engine every norm path = train rule engine every norm CancellationToken.None ignore path

/// Each epoch's one bad batch is reported and logged with its step, layer and images.
let private expectReported run =
    Expect.hasLength run.Issues 2 "issues reported"

    for epoch, issue in List.indexed run.Issues do
        Expect.equal (issue.Epoch, issue.Step) (epoch + 1, stepOf epoch) "epoch and step"
        Expect.equal (issue.Layer, issue.What) ("loss", "the loss is NaN") "layer and description"
        Expect.contains issue.Batch (snd teacher.Value) "the batch"
        let health = run.History[epoch].Health.Value
        Expect.equal health.Issues [ issue ] "logged"
        Expect.equal run.History[epoch].Train.Images 50 "images trained on"

let private last run = fileBits ((RunFolder.at run.Path).Last 1)

let private rules =
    [ test "stop ends the run at that step, and no checkpoint contains it" {
          use folder = new TempFolder()
          let text = messageOf<TrainingException, _>(fun () -> whole Stop Fused always NoNorm folder.Path)
          contains [ "The loss is NaN"; "epoch 1"; $"step {stepOf 0}"; "diverged" ] text

          match RunFolder.checkpoints { Path = folder.Path } 1 with
          | [] -> Expect.equal (stepOf 0) 1 "the first step"
          | (_, path) :: _ ->
              Expect.equal (Checkpoint.readState path).TrainingCursor.Step (stepOf 0 - 1) "the step before"
      }

      for engine, norm in [ Fused, BnFree 0.2; Composite, BatchNorm ] do
          test $"skip and rollback agree if every step has a checkpoint: {Json.name engine}, {Names.norm norm}" {
              use folder = new TempFolder()
              let skipped = whole Skip engine never norm (folder.File "skip")
              expectReported skipped
              Expect.equal [ for r in skipped.History -> r.Health.Value.Skipped ] [ 1; 1 ] "skipped batches"
              let back = whole Rollback engine always norm (folder.File "rollback")
              expectReported back
              Expect.equal [ for r in back.History -> r.Health.Value.RolledBack ] [ 1; 1 ] "rollbacks"
              sameBits (last back) (last skipped) "the last checkpoint"
              Expect.equal [ for r in back.History -> r.Test ] [ for r in skipped.History -> r.Test ] "accuracy"

              for name, bytes in last skipped do
                  if name.EndsWith "weight" then
                      for value in
                          Runtime.InteropServices.MemoryMarshal.Cast<byte, float32>(ReadOnlySpan bytes).ToArray() do
                          Expect.isTrue (Single.IsFinite value) name
          }

      test "skip: a run that is interrupted near the bad batch and resumed has the same fingerprint" {
          use folder = new TempFolder()
          let expected = Fingerprint.ofRun { Path = (whole Skip Fused never NoNorm (folder.File "whole")).Path }

          for step in [ stepOf 0; 5 + stepOf 1 ] do
              let path = folder.File $"{step}"
              use source = new CancellationTokenSource()
              let handler = atStep step source.Cancel

              Expect.throwsT<OperationCanceledException>
                  (fun () -> train Skip Fused never NoNorm source.Token handler path |> ignore)
                  "interrupted"

              whole Skip Fused never NoNorm path |> ignore
              Expect.equal (Fingerprint.ofRun { Path = path }) expected $"interrupted at step {step}"
      } ]

let tests = testList "overflow" rules
