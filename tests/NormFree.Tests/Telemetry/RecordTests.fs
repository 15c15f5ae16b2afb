/// Telemetry in a run's folder, and that it does not change the run.
module NormFree.Tests.Telemetry.RecordTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Telemetry
open NormFree.Tests.Training.Support
open TorchSharp

let private data = lazy (Synthetic.dataset 3L 40 20)

/// Four steps an epoch, two epochs a stage.
let private recipe = { quick with Batch = 10 }

let private plan engine sampling folder =
    let plan = Pipeline.from data.Value |> Pipeline.into folder |> Pipeline.telemetry sampling

    { plan with
        Options = { plan.Options with Execution = { plan.Options.Execution with Engine = engine } } }

let private both norm plan =
    plan |> Pipeline.train recipe (tiny norm) |> Pipeline.binariseWeights recipe |> Pipeline.finish

let private seen norm sampling (folder: TempFolder) =
    let log = both norm (plan Fused sampling folder.Path)
    log, Telemetry.read (RunFolder.at folder.Path)

let private results =
    [ for engine, norm in [ Fused, BatchNorm; Composite, BnFree 0.2 ] do
          test $"{Json.name engine} engine, {Names.norm norm}: telemetry at every step does not change the run" {
              use folder = new TempFolder()

              let fingerprint name sampling =
                  let run = RunFolder.at (folder.File name)
                  both norm (plan engine sampling run.Path) |> ignore
                  Fingerprint.ofRun run, (Telemetry.read run).Layers.Length

              let blind, none = fingerprint "never" Never
              let seeing, rows = fingerprint "always" (EverySteps 1)
              Expect.equal seeing blind "fingerprints"
              Expect.equal (none, rows) (0, 2 * 8 * 9) "rows"
          } ]

let private recorded =
    [ test "samples are the requested number of steps apart, across epochs, and restart in each stage" {
          use folder = new TempFolder()
          let _, telemetry = seen NoNorm (EverySteps 3) folder

          let places = [ for row in telemetry.Layers -> row.Stage, row.Epoch, row.Step ] |> List.distinct

          let ofStage stage = [ stage, 1, 0; stage, 1, 3; stage, 2, 2 ]
          Expect.equal places (ofStage "activations" @ ofStage "activations+weights") "places"
      }

      for norm in [ BatchNorm; BnFree 0.2 ] do
          test
              $"{Names.norm norm}: the transition to binary weights is recorded, and equals a measurement of both networks" {
              use folder = new TempFolder()
              let plan = plan Composite (EverySteps 4) folder.Path
              let trained = plan |> Pipeline.train recipe (tiny norm)
              let net = trained.Network.Spec
              use _ = torch.NewDisposeScope()

              // Stage 2 disposes the network of stage 1.
              let copy binarise =
                  let network =
                      Recipe.applyTo (Net.withBinarise binarise net) recipe
                      |> Network.create torch.ScalarType.Float32 Rule.Corrected 1L
                      |> Network.running trained.Network.Execution

                  let values = dict trained.Network.Tensors
                  network |> Network.fill (fun name -> values[name])
                  network

              use real = copy Activations
              use binary = copy ActivationsAndWeights
              trained |> Pipeline.binariseWeights recipe |> Pipeline.finish |> ignore
              let rows = (Telemetry.read (RunFolder.at folder.Path)).Transition
              let layers = SignLayers.ofNetwork real
              Expect.equal [ for row in rows -> row.Layer ] [ for layer in layers -> layer.Name ] "layers"

              let images =
                  DataDependentInit.images
                      RunOptions.Default
                      (ImageTask.Of data.Value)
                      recipe
                      data.Value.Train
                      real
                      recipe.Batch

              let mode = if norm = BatchNorm then Train else Evaluate
              let before, after = NaiveFigures.inputs real mode images, NaiveFigures.inputs binary mode images

              for row, layer in List.zip rows layers do
                  let figures (seen: System.Collections.Generic.IDictionary<string, _>) =
                      NaiveFigures.input seen[layer.Name] layer.Beta layer.Shift.Value

                  let a, b = figures before, figures after
                  let square values = values |> Array.averageBy (fun value -> value * value)

                  let close actual expected what =
                      Expect.floatClose { absolute = 1e-5; relative = 1e-3 } actual expected $"{what} of {layer.Name}"

                  close row.MeanChange (square (Array.map2 (-) b.Mean a.Mean)) "change"
                  close row.MeanSquaredBefore (square a.Mean) "mean² before"
                  close row.MeanSquaredAfter (square b.Mean) "mean² after"
                  close row.VarianceBefore (Array.average a.Variance) "variance before"
                  close row.VarianceAfter (Array.average b.Variance) "variance after"

                  Expect.equal
                      (System.Double.IsNaN row.ShortcutMeanSquared)
                      (not layer.HasShortcutConvolution)
                      layer.Name

              Expect.exists layers _.HasShortcutConvolution "a shortcut with a convolution"
              Expect.equal rows.Head.MeanChange 0.0 "nothing is binarised before the first layer"
              Expect.exists rows (fun row -> row.MeanChange > 0.0) "changes"
          }

      test "a run without stage 2, and one without telemetry, record no transition" {
          use folder = new TempFolder()
          let first, blind = folder.File "first", folder.File "blind"
          plan Fused (EverySteps 4) first |> Pipeline.train recipe (tiny NoNorm) |> useTrained ignore
          both NoNorm (plan Fused Never blind) |> ignore

          for path in [ first; blind ] do
              Expect.isEmpty (Telemetry.read (RunFolder.at path)).Transition path
      }

      test "a transition that cannot be written is a warning" {
          use folder = new TempFolder()
          let path = Path.Combine(folder.Path, "telemetry", "stage2-transition.parquet")
          let warnings = ResizeArray()

          let onEvent event =
              match event with
              | Warning text -> warnings.Add text
              | _ -> ()

          Directory.CreateDirectory path |> ignore
          plan Fused (EverySteps 4) folder.Path |> Pipeline.onEvent onEvent |> both NoNorm |> ignore
          Expect.hasLength warnings 1 "warnings"
          contains [ path; "is a folder"; "the telemetry of the transition was not written" ] warnings[0]
      }

      test "dead channels are counted from the recorded shares of channels" {
          use folder = new TempFolder()
          let log, telemetry = seen (BnFree 0.2) (EverySteps 100) folder

          for record in log.Epochs do
              let ofEpoch =
                  telemetry.Channels
                  |> List.filter (fun c -> c.Stage = record.Stage && c.Epoch = record.Epoch)
                  |> List.groupBy _.Layer

              Expect.equal ofEpoch.Length 9 "layers"

              for _, channels in ofEpoch do
                  Expect.equal [ for c in channels -> c.Channel ] [ 0 .. channels.Length - 1 ] "channels in order"

              let shares = [ for layer, channels in ofEpoch -> layer, [| for c in channels -> c.Positive |] ]
              Expect.equal (FiniteChecks.oneSign shares) record.Health.Value.OneSign "dead channels"
      }

      test "TensorBoard gets the same rows, the epochs' results and a histogram of channels" {
          use folder = new TempFolder()
          let log, telemetry = seen (BnFree 0.2) (EverySteps 2) folder
          let shown = EventFiles.read (RunFolder.at folder.Path)
          Expect.equal (List.map fst shown) [ "stage1"; "stage2" ] "folders"
          let events = shown |> List.collect snd

          for row in telemetry.Layers do
              let step = int64 (4 * (row.Epoch - 1) + row.Step)

              for name, value in
                  [ "mean_squared", row.MeanSquared
                    "variance", row.Variance
                    "dead_channels", float row.DeadChannels
                    "gradient_norm", row.GradientNorm ] do
                  let isShown (event: EventFiles.Shown) =
                      event.Tag = $"{row.Layer}/{name}" && event.Step = step && event.Value.SimpleValue = float32 value

                  Expect.exists events isShown $"{row.Layer}/{name} at {step}"

          for record in log.Epochs do
              let isShown (event: EventFiles.Shown) =
                  event.Tag = "epoch/test_top1"
                  && event.Step = int64 (4 * record.Epoch)
                  && event.Value.SimpleValue = float32 record.Test.Top1

              Expect.exists events isShown "an epoch"

          for layer, channels in telemetry.Channels |> List.groupBy _.Layer do
              let histograms = events |> List.filter (fun e -> e.Tag = $"{layer}/positive_of_channels")
              Expect.equal histograms.Length 4 "one an epoch"
              let counts = histograms |> List.sumBy (fun e -> Seq.sum e.Value.Histo.Bucket)
              Expect.equal counts (float channels.Length) "all channels are in them"
      }

      test "a full-precision network has no layer telemetry, but logs its epochs" {
          use folder = new TempFolder()

          plan Fused (EverySteps 1) folder.Path
          |> Pipeline.train
              { recipe with Epochs = 1 }
              (ResNet.resNet18 { Width = 0.13; Depth = 0.5 } CifarStem |> Net.withClasses 10)
          |> useTrained ignore

          let run = RunFolder.at folder.Path
          Expect.equal (Telemetry.read run) { Layers = []; Channels = []; Transition = [] } "telemetry"
          let events = EventFiles.read run |> List.collect snd
          Expect.contains [ for event in events -> event.Tag ] "epoch/train_loss" "events"
      }

      for net in
          [ VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 } CifarStem
            BinaryDenseNet.table "dense" 16 8 [ 2; 2 ] [ 1.5 ] CifarStem
            XnorResNet.xnorResNet18 { Width = 0.125; Depth = 0.25 } CifarStem ] do
          test $"{net.Name}: every binary layer is sampled, and each value is finite where it is defined" {
              use folder = new TempFolder()

              plan Fused (EverySteps 2) folder.Path
              |> Pipeline.train { recipe with Epochs = 1 } (net |> Net.withClasses 10)
              |> useTrained ignore

              let layers = (Telemetry.read (RunFolder.at folder.Path)).Layers
              let names = set [ for layer in Lowering.layers net -> layer.Name ]
              Expect.equal (set [ for row in layers -> row.Layer ]) names "layers"

              for row in layers do
                  Expect.isTrue (System.Double.IsFinite row.Variance) $"variance of {row.Layer}"

                  // β is before the first sign of a residual block.
                  let hasBeta = net.Name = "xnor-resnet-18" && row.Layer.EndsWith ".conv1"
                  Expect.equal (System.Double.IsFinite row.ExpectedVariance) hasBeta $"expected variance of {row.Layer}"
          }

      test "every 0 steps is refused" {
          use folder = new TempFolder()

          contains
              [ "every n-th step with n ≥ 1" ]
              (messageOf<TrainingException, _>(fun () -> both NoNorm (plan Fused (EverySteps 0) folder.Path)))
      } ]

let private obstructed =
    [ for obstacle in [ "telemetry"; "tensorboard" ] do
          test $"if {obstacle} cannot be a folder, the run succeeds with one warning per stage and transition" {
              use folder = new TempFolder()
              File.WriteAllText(folder.File obstacle, "in the way")
              let warnings = ResizeArray()

              let watch event =
                  match event with
                  | Warning text -> warnings.Add text
                  | _ -> ()

              let log = plan Fused (EverySteps 1) folder.Path |> Pipeline.onEvent watch |> both NoNorm
              Expect.equal log.Epochs.Length 4 "epochs"
              // The transition between the stages is a file of its own in the folder "telemetry".
              let expected = if obstacle = "telemetry" then 3 else 2
              Expect.equal warnings.Count expected $"warnings, one a stage and transition: {List.ofSeq warnings}"
              contains [ obstacle; "telemetry was not written"; "Training continues" ] warnings[0]
          }

      test "rows that could not be written are written later" {
          use folder = new TempFolder()
          let obstacle = folder.File "telemetry"
          File.WriteAllText(obstacle, "in the way")

          let watch event =
              match event with
              | EpochDone record when record.Epoch = 1 -> File.Delete obstacle
              | _ -> ()

          let again =
              { plan Fused (EverySteps 1) folder.Path with Folder = Some(RunFolder.at folder.Path) }
              |> Pipeline.onEvent watch

          again |> Pipeline.train recipe (tiny NoNorm) |> useTrained ignore
          let telemetry = Telemetry.read (RunFolder.at folder.Path)
          Expect.equal (telemetry.Layers |> List.map _.Epoch |> List.distinct) [ 1; 2 ] "epochs"

          let tags =
              [ for event in EventFiles.read (RunFolder.at folder.Path) |> List.collect snd -> event.Tag, event.Step ]

          Expect.equal tags (List.distinct tags) "each event once"
      } ]

let tests =
    testList "records" [ testList "results" results; testList "recorded" recorded; testList "obstructed" obstructed ]
