/// Detection of NaN, infinity and exploding gradients, and the responses to them.
module NormFree.Tests.Training.FiniteChecksTests

open System
open System.IO
open System.Text.Json.Serialization
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp

let private data = lazy (Synthetic.dataset 3L 60 20)

/// Six batches per epoch. The teacher injects NaN into single batches.
let private recipe = { quick with Batch = 10; Loss = Distillation "injected" }

/// Runs a stage whose teacher returns NaN in the given steps: its epochs, its issues, and the first tensor that is not finite.
let private stage rule norm (wrong: int list) (folder: TempFolder) =
    let events = ResizeArray()

    let runOptions = { RunOptions.Default with OnNonFinite = rule; OnEvent = events.Add }

    use network =
        Network.create torch.ScalarType.Float32 Rule.Corrected 1L (Net.withBinarise Activations (tiny norm))

    use optimisation = new Optimisation(recipe, network)
    let mutable calls = 0

    let teacher (images: torch.Tensor) =
        calls <- calls + 1
        let value = if List.contains calls wrong then nan else 0.5
        torch.full ([| images.shape[0]; 10L |], torch.tensor(value).ToScalar())

    let state: TrainingState = { TrainingState.Of(recipe, "activations") with Threads = 1 }

    let writer =
        CheckpointWriter(
            Some(RunFolder.at folder.Path),
            runOptions,
            { Number = 1
              Network = network
              Optimisation = optimisation
              ImageTask = ImageTask.Of data.Value
              Start = state
              Best = None }
        )

    let job =
        { Name = "activations"; Number = 1; Recipe = recipe; Dataset = data.Value; Teacher = Some teacher }

    TrainingLoop.run runOptions job network optimisation writer state.TrainingCursor

    let issues =
        events
        |> Seq.choose (function
            | NumericalIssueFound issue -> Some issue
            | _ -> None)
        |> Seq.toList

    writer.History, issues, FiniteChecks.notFinite network optimisation

/// The images of an epoch's batch.
let private batch epoch number =
    Loader.shuffled recipe.Seed (1_000_000 + epoch) 60
    |> Array.chunkBySize 10
    |> Array.item number
    |> Array.toList

let private rules =
    [ test "stop: the error names epoch, step and layer, and the last checkpoint is finite" {
          use folder = new TempFolder()
          let text = messageOf<TrainingException, _>(fun () -> stage Stop NoNorm [ 9 ] folder)
          contains [ "The loss is NaN"; "epoch 2"; "step 3"; "layer loss"; "diverged"; "--on-nonfinite" ] text
          let saved = Checkpoint.readState ((RunFolder.at folder.Path).Last 1)
          Expect.equal saved.TrainingCursor (TrainingCursor.startOf 1) "the checkpoint of the first epoch"
      }

      for norm in [ NoNorm; BatchNorm ] do
          test $"skip, {Names.norm norm}: the batch is skipped, reported and logged" {
              use folder = new TempFolder()
              let history, issues, unsound = stage Skip norm [ 9 ] folder
              Expect.isNone unsound "tensors that are not finite"
              Expect.equal (history |> List.map _.Train.Images) [ 60; 50 ] "images trained on"

              let expected =
                  { Stage = "activations"
                    Epoch = 2
                    Step = 3
                    Layer = "loss"
                    Batch = batch 1 2
                    What = "the loss is NaN" }

              Expect.equal issues [ expected ] "reported"
              let health = (List.last history).Health.Value
              Expect.equal (health.Skipped, health.Issues) (1, [ expected ]) "logged"
          }

      test "skip: too many bad batches in a row stop the training" {
          use folder = new TempFolder()
          let text = messageOf<TrainingException, _>(fun () -> stage Skip NoNorm [ 2..100 ] folder)
          contains [ "diverged"; "epoch 2"; "step 6" ] text
      }

      test "rollback: training continues after the batch with the checkpoint's weights" {
          use folder = new TempFolder()
          let history, issues, unsound = stage Rollback NoNorm [ 9 ] folder
          Expect.isNone unsound "tensors that are not finite"
          Expect.equal issues.Length 1 "issues"
          Expect.equal (List.last history).Health.Value.RolledBack 1 "logged"
          Expect.equal (history |> List.map _.Train.Images) [ 60; 50 ] "images trained on"
      }

      test "rollback needs a folder" {
          let plan = Pipeline.from data.Value
          let plan = { plan with Options = { plan.Options with OnNonFinite = Rollback } }

          contains
              [ "Rollback needs a run folder" ]
              (messageOf<TrainingException, _>(fun () -> Pipeline.train quick (tiny NoNorm) plan))
      }

      test "weights with NaN or infinity are never written within an epoch" {
          use folder = new TempFolder()
          // The first step gives weights above 1e30, the second NaN.
          let recipe = { quick with LearningRate = 1e38; Optimiser = Sgd 0.0; Clip = NoClipping; Batch = 10 }
          let plan = Pipeline.from data.Value |> Pipeline.into folder.Path
          let policy = { Checkpoints = 9; Every = TimeSpan.Zero }
          let plan = { plan with Options = { plan.Options with CheckpointPolicy = policy } }
          messageOf<TrainingException, _>(fun () -> Pipeline.train recipe (tiny NoNorm) plan) |> ignore

          for _, path in RunFolder.checkpoints { Path = folder.Path } 1 do
              use checkpoint = Checkpoint.load torch.ScalarType.Float32 path

              for name, tensor in checkpoint.Network.Tensors do
                  Expect.isTrue (tensor.isfinite().all().item<bool>()) $"{path}: {name}"
      } ]

/// A network with gradients, and its optimiser.
let private withGradients inspect =
    use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
    use optimisation = new Optimisation(quick, network)
    use _ = torch.NewDisposeScope()

    Losses.CrossEntropy(network.Forward(images torch.ScalarType.Float32 "numbers" 4, Train), labels 4)
    |> network.Backward

    inspect network optimisation

let private set (tensor: torch.Tensor) index (value: float32) =
    use _ = torch.no_grad ()
    tensor.bytes.Slice(4 * index, 4).Clear()
    let bytes = BitConverter.GetBytes value
    bytes.AsSpan().CopyTo(tensor.bytes.Slice(4 * index, 4))

let private found =
    [ test "gradient norms equal those of a plain loop" {
          withGradients (fun network optimisation ->
              let naive =
                  [| for _, tensor in network.Parameters ->
                         (nonNull tensor.grad).data<float32>().ToArray()
                         |> Array.sumBy (fun x -> float x * float x)
                         |> sqrt |]

              for norm, expected in Array.zip (optimisation.GradientNorms()) naive do
                  Expect.floatClose Accuracy.medium norm expected "norm")
      }

      for value in [ nanf; infinityf; -infinityf ] do
          test $"one {value} in a gradient is found at any position" {
              withGradients (fun network optimisation ->
                  for number, index in [ 0, 0; 1, 3; 5, 17; network.Parameters.Length - 1, 9 ] do
                      let described, tensor = network.Parameters[number]
                      let gradient = nonNull tensor.grad
                      let index = index % int (gradient.numel ())
                      let before = gradient.data<float32>().ToArray()[index]
                      set gradient index value
                      Expect.equal (FiniteChecks.gradient optimisation) (Error described.Key) "the parameter"
                      set gradient index before
                      Expect.isOk (FiniteChecks.gradient optimisation) "without it")
          }

      test "the first layer with NaN is named" {
          use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
          use _ = torch.NewDisposeScope()
          let batch = images torch.ScalarType.Float32 "numbers" 4
          Expect.isNone (FiniteChecks.firstNotFinite network batch) "no NaN"
          let weight = network.Parameters |> List.find (fun (p, _) -> p.Key.StartsWith "layer2.0") |> snd
          set weight 0 nanf

          Expect.stringStarts
              (FiniteChecks.firstNotFinite network batch |> Option.defaultValue "")
              "layer2.0"
              "the layer"
      }

      test "channels of one sign are counted per layer" {
          use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
          use _ = torch.NewDisposeScope()
          let batch = images torch.ScalarType.Float32 "numbers" 4
          let before = Map(FiniteChecks.oneSign (SignLayers.shares network batch))
          let shift = network.Parameters |> List.find (fun (p, _) -> p.Key = "layer2.0.move0.bias") |> snd

          for index in 0..2 do
              set shift index 1e6f

          let after = Map(FiniteChecks.oneSign (SignLayers.shares network batch))

          let changed =
              [ for KeyValue(layer, count) in after do
                    if before.TryFind layer <> Some count then
                        layer, count ]

          Expect.exists changed (fun (layer, count) -> layer.StartsWith "layer2.0" && count >= 3) $"{changed}"
      }

      test "a gradient above a hundred times the mean explodes after the first 20 steps" {
          let after steps = { TrainingCursor.startOf 0 with Step = steps; Norms = float steps * 2.0 }
          Expect.equal (FiniteChecks.explodes (after 20) 201.0) (Some 2.0) "above"
          Expect.isNone (FiniteChecks.explodes (after 20) 199.0) "below"
          Expect.isNone (FiniteChecks.explodes (after 19) 1e9) "too early"
      } ]

let tests = testList "finite checks" [ testList "rules" rules; testList "found" found ]
