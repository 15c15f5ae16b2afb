/// Pipelines that resume in the folder of a run.
module NormFree.Tests.Training.PipelineResumingTests

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

/// Different images with the same names.
let private other = lazy (Synthetic.dataset 4L 120 40)

/// The results of a run: all bytes of its last and best checkpoints, and its log without times.
let private results folder =
    let folder = RunFolder.at folder

    let tensors =
        [ for path in [ folder.Last 1; folder.Best 1; folder.Last 2; folder.Best 2 ] do
              for name, bytes in fileBits path do
                  $"{Path.GetFileName path}: {name}", bytes ]

    let run = RunFolder.readRun folder
    tensors, timeless run.Epochs, run.Configuration, run.Finished

/// The warnings of a plan that resumes in a folder, and the changes in run.json.
let private reportedBy recipe net folder =
    let warnings = ResizeArray()

    Pipeline.from few.Value
    |> Pipeline.into folder
    |> Pipeline.onEvent (function
        | Warning text -> warnings.Add text
        | _ -> ())
    |> both recipe net
    |> useTrained ignore

    let configuration = (RunFolder.readRun (RunFolder.at folder)).Configuration
    let changes = configuration |> List.filter (fst >> _.StartsWith("environment.changed"))
    List.ofSeq warnings, List.map snd changes

/// A short recipe with all random and stateful settings on: 5 steps per epoch.
let private stateful = { quick with Batch = 10; HeldOut = 0.2; WarmUp = 1.0; WeightDecay = 1e-3 }

let private sameRun expected path =
    let tensors, log, configuration, finished = expected
    let tensors', log', configuration', finished' = results path
    sameBits tensors' tensors "checkpoints"
    Expect.equal log' log "log"
    Expect.equal configuration' configuration "configuration"
    Expect.equal finished' finished "finished"

let resuming =
    [ for norm in norms do
          test $"{Names.norm norm}: an interrupted and resumed run ends with the same bits as an uninterrupted one" {
              use folder = new TempFolder()
              let net, whole = tiny norm, folder.File "whole"
              let into path = Pipeline.from few.Value |> Pipeline.into path
              both stateful net (into whole) |> useTrained ignore
              let expected = results whole

              for name, byToken, event, n in
                  [ "token after the first epoch", true, epochs, 1
                    "exception after the first epoch", false, epochs, 1
                    "token after stage 2's first epoch", true, epochs, 3
                    "exception in stage 2's second epoch", false, steps, 17 ] do
                  let path = folder.File name
                  stops stateful net (into path |> interrupted byToken event n)

                  Expect.isFalse
                      (RunFolder.readRun (RunFolder.at path)).Finished
                      $"{name}: the run is marked as unfinished"

                  both stateful net (into path) |> useTrained ignore
                  sameRun expected path
          }

      test "a cancelled run takes no further step" {
          let mutable taken = 0

          let plan = Pipeline.from data.Value |> interrupted true steps 3

          let plan =
              plan
              |> runOptions (fun a ->
                  { a with
                      OnEvent =
                          fun event ->
                              a.OnEvent event

                              if steps event then
                                  taken <- taken + 1 })

          stops quick (tiny NoNorm) plan
          Expect.equal taken 3 "steps"
      }

      test "a finished run is loaded and not trained again" {
          use folder = new TempFolder()

          let run plan =
              both quick (tiny BatchNorm) plan
              |> useTrained (fun trained -> tensorBits trained.Network, trained.History)

          let first = run (into folder.Path)
          let before = results folder.Path
          let written = File.GetLastWriteTimeUtc((RunFolder.at folder.Path).Last 2)
          let events = ResizeArray()
          let second = into folder.Path |> Pipeline.onEvent events.Add |> run
          sameBits (fst second) (fst first) "weights"
          Expect.equal (snd second) (snd first) "history"
          Expect.isFalse (Seq.exists steps events) "steps"
          Expect.contains events (Resumed("activations+weights", 2, 0)) "resumed"

          Expect.equal
              (File.GetLastWriteTimeUtc((RunFolder.at folder.Path).Last 2))
              written
              "the checkpoint is unchanged"

          sameRun before folder.Path
      }

      test "an older run rejects another recipe, names the differences, and resumes with its own" {
          use folder = new TempFolder()
          let net = tiny NoNorm
          stops stateful net (Pipeline.from few.Value |> Pipeline.into folder.Path |> interrupted true steps 3)
          age ((RunFolder.at folder.Path).Last 1)
          let warnings = ResizeArray()

          let run recipe =
              Pipeline.from few.Value
              |> Pipeline.into folder.Path
              |> Pipeline.onEvent (function
                  | Warning text -> warnings.Add text
                  | _ -> ())
              |> both recipe net
              |> useTrained _.History

          let text = messageOf<TrainingException, _>(fun () -> run stateful)

          contains
              [ "different: recipe, namely activations: deviation 14, rates; activations: deviation 15, sign centering" ]
              text

          let older = { stateful.Deviations with Rates = Rule.Published; SignCentering = Rule.Published }
          Expect.equal (stageNames (run { stateful with Deviations = older })) fourEpochs "epochs"
          contains [ "older version"; "per-step decay (2) may differ" ] (Seq.exactlyOne warnings)
          Expect.equal (run { stateful with Deviations = older }).Length 4 "again"
          Expect.hasLength warnings 1 "one warning"
      }

      let all = "per-step decay (2), learning rates (14), sign centering (15), stream centering (17)"

      for method, before, rules in
          [ None, "an older version's method", all
            Some 1, "method 1", all
            Some 2, "method 2", "sign centering (15), stream centering (17)"
            Some 3, "method 3", "stream centering (17)"
            Some 99, "method 99", all ] do
          test $"a stage that was started by {before} warns once, and run.json records it" {
              use folder = new TempFolder()
              let net = tiny (BnFree 0.2)
              stops stateful net (Pipeline.from few.Value |> Pipeline.into folder.Path |> interrupted true steps 3)
              ofMethod method ((RunFolder.at folder.Path).Last 1)
              let warnings, changes = reportedBy stateful net folder.Path

              contains
                  [ "stage1.last.safetensors"; before; "method 4"; $"rules for {rules} may differ" ]
                  (List.exactlyOne warnings)

              contains
                  [ "activations, after epoch 1, step 3"; $"instead of {before}"; $"for {rules}" ]
                  (List.exactlyOne changes)

              for stage in 1..2 do
                  let state = Checkpoint.readState ((RunFolder.at folder.Path).Last stage)
                  Expect.equal state.Method (Some 4) $"stage {stage}"

              Expect.equal (reportedBy stateful net folder.Path) ([], changes) "again"
          }

      test "another method causes no warning if it does not affect the recipe" {
          let published = { stateful with Deviations = Deviations.Published }

          let signsOnly =
              { stateful with Deviations = { stateful.Deviations with StreamCentering = Rule.Published } }

          for recipe, net, before in
              [ published, tiny (BnFree 0.2), 1
                { stateful with Schedule = Constant }, tiny BatchNorm, 1
                { stateful with Schedule = Step(1, 0.5) }, tiny NoNorm, 1
                stateful, tiny BatchNorm, 2
                signsOnly, tiny (Scaled 0.2), 2 ] do
              use folder = new TempFolder()
              stops recipe net (Pipeline.from few.Value |> Pipeline.into folder.Path |> interrupted true steps 3)
              ofMethod (Some before) ((RunFolder.at folder.Path).Last 1)
              Expect.equal (reportedBy recipe net folder.Path) ([], []) (normName net)
              let state = Checkpoint.readState ((RunFolder.at folder.Path).Last 1)
              Expect.equal state.Method (Some 2) "the method after resuming"
      }

      test "deviations without an effect on the network do not keep a run from resuming" {
          use folder = new TempFolder()
          let net = tiny BatchNorm

          let earlier =
              { stateful with
                  Deviations =
                      { stateful.Deviations with ShortcutWeights = Rule.Published; StreamCentering = Rule.Published } }

          stops earlier net (Pipeline.from few.Value |> Pipeline.into folder.Path |> interrupted true steps 3)
          Expect.equal (reportedBy stateful net folder.Path) ([], []) "warnings"
      }

      test "a finished run keeps its method" {
          use folder = new TempFolder()
          let net = tiny (BnFree 0.2)

          let run () =
              Pipeline.from few.Value
              |> Pipeline.into folder.Path
              |> both stateful net
              |> useTrained _.State.Method

          Expect.equal (run ()) (Some 4) "current"
          ofMethod None ((RunFolder.at folder.Path).Last 2)
          Expect.equal (run ()) None "older"
          Expect.equal (reportedBy stateful net folder.Path) ([], []) "no warnings"
      }

      test "other settings in the folder of a run are rejected, and the run is unchanged" {
          use folder = new TempFolder()

          let train recipe net dataset =
              Pipeline.from dataset |> Pipeline.into folder.Path |> Pipeline.train recipe net |> useTrained ignore

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
              let text = messageOf<TrainingException, _>(fun () -> train recipe net dataset)

              contains
                  [ "stage1.last.safetensors"; "another network, recipe or data set"; "choose another folder" ]
                  text

              sameBits (fileBits ((RunFolder.at folder.Path).Last 1)) before name
              Expect.equal (RunFolder.readRun (RunFolder.at folder.Path)) described $"{name}: the run's description"
      } ]
