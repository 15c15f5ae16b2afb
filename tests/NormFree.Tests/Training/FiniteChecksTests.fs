/// Numbers that go wrong are noticed where they do, and answered by the rule.
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
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp

let private data = lazy (Synthetic.dataset 3L 60 20)

/// Six batches an epoch. The teacher stands for whatever may make a single batch go wrong.
let private recipe = { quick with Batch = 10; Loss = Distillation "injected" }

/// Runs a stage whose teacher answers with NaN in the given steps; its epochs, its troubles, its weights.
let private stage rule norm (wrong: int list) (folder: TempFolder) =
    let events = ResizeArray()

    let runOptions = { RunOptions.Default with OnNonFinite = rule; Watch = events.Add }

    use network =
        Network.create torch.ScalarType.Float32 Rule.Corrected 1L (Net.withBinarise Activations (tiny norm))

    use optimisation = new Optimisation(recipe, network)
    let mutable asked = 0

    let teacher (images: torch.Tensor) =
        asked <- asked + 1
        let value = if List.contains asked wrong then nan else 0.5
        torch.full ([| images.shape[0]; 10L |], torch.tensor(value).ToScalar())

    let state: TrainingState =
        { TrainingState.Of(recipe, "activations") with Threads = 1 }

    let keeper =
        CheckpointWriter(
            Some(RunFolder.at folder.Path),
            runOptions,
            { Number = 1
              Network = network
              Optimisation = optimisation
              ImageTask = ImageTask.Of data.Value
              Start = state }
        )

    let job =
        { Name = "activations"; Number = 1; Recipe = recipe; Dataset = data.Value; Teacher = Some teacher }

    Stage.run runOptions job network optimisation keeper state.TrainingCursor

    let troubles =
        events
        |> Seq.choose (function
            | NumericalIssueFound trouble -> Some trouble
            | _ -> None)
        |> Seq.toList

    keeper.History, troubles, FiniteChecks.notFinite network optimisation

/// The images of an epoch's batch.
let private batch epoch number =
    Loader.shuffled recipe.Seed (1_000_000 + epoch) 60
    |> Array.chunkBySize 10
    |> Array.item number
    |> Array.toList

let private rules =
    [ test "stop: the training ends and names epoch, step and layer, and what is kept is sound" {
          use folder = new TempFolder()
          let text = message<TrainingException, _>(fun () -> stage Stop NoNorm [ 9 ] folder)
          contains [ "The loss is NaN"; "epoch 2"; "step 3"; "layer loss"; "diverged"; "--on-nonfinite" ] text
          let kept = Checkpoint.readState ((RunFolder.at folder.Path).Last 1)
          Expect.equal kept.TrainingCursor (TrainingCursor.startOf 1) "the checkpoint of the first epoch"
      }

      for norm in [ NoNorm; BatchNorm ] do
          test $"skip, {Names.norm norm}: the batch is left out, told and logged" {
              use folder = new TempFolder()
              let history, troubles, unsound = stage Skip norm [ 9 ] folder
              Expect.isNone unsound "tensors that are not finite"
              Expect.equal (history |> List.map _.Train.Images) [ 60; 50 ] "images trained on"

              let expected =
                  { Stage = "activations"
                    Epoch = 2
                    Step = 3
                    Layer = "loss"
                    Batch = batch 1 2
                    What = "the loss is NaN" }

              Expect.equal troubles [ expected ] "what was told"
              let health = (List.last history).Health.Value
              Expect.equal (health.Skipped, health.Issues) (1, [ expected ]) "what was logged"
          }

      test "skip: where one batch after the other is wrong, it stops" {
          use folder = new TempFolder()
          let text = message<TrainingException, _>(fun () -> stage Skip NoNorm [ 2..100 ] folder)
          contains [ "diverged"; "epoch 2"; "step 6" ] text
      }

      test "rollback: the training goes on behind the batch with the checkpoint's weights" {
          use folder = new TempFolder()
          let history, troubles, unsound = stage Rollback NoNorm [ 9 ] folder
          Expect.isNone unsound "tensors that are not finite"
          Expect.equal troubles.Length 1 "troubles"
          Expect.equal (List.last history).Health.Value.RolledBack 1 "logged"
          Expect.equal (history |> List.map _.Train.Images) [ 60; 50 ] "images trained on"
      }

      test "rollback needs a folder" {
          let plan = Pipeline.from data.Value
          let plan = { plan with Options = { plan.Options with OnNonFinite = Rollback } }

          contains
              [ "needs a folder" ]
              (message<TrainingException, _>(fun () -> Pipeline.train quick (tiny NoNorm) plan))
      }

      test "weights that are not finite are never kept within an epoch" {
          use folder = new TempFolder()
          // The first step leaves weights of 1e30 and more, the second would leave NaN.
          let recipe = { quick with LearningRate = 1e38; Optimiser = Sgd 0.0; Clip = NoClipping; Batch = 10 }
          let plan = Pipeline.from data.Value |> Pipeline.into folder.Path
          let keeping = { Checkpoints = 9; Every = TimeSpan.Zero }
          let plan = { plan with Options = { plan.Options with CheckpointPolicy = keeping } }
          message<TrainingException, _>(fun () -> Pipeline.train recipe (tiny NoNorm) plan) |> ignore

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

let private set (tensor: torch.Tensor) place (value: float32) =
    use _ = torch.no_grad ()
    tensor.bytes.Slice(4 * place, 4).Clear()
    let bytes = BitConverter.GetBytes value
    bytes.AsSpan().CopyTo(tensor.bytes.Slice(4 * place, 4))

let private found =
    [ test "norms of gradients are those of a loop over their values" {
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
          test $"one {value} in a gradient is found, wherever it is" {
              withGradients (fun network optimisation ->
                  for number, place in [ 0, 0; 1, 3; 5, 17; network.Parameters.Length - 1, 9 ] do
                      let described, tensor = network.Parameters[number]
                      let gradient = nonNull tensor.grad
                      let place = place % int (gradient.numel ())
                      let before = gradient.data<float32>().ToArray()[place]
                      set gradient place value
                      Expect.equal (FiniteChecks.gradient optimisation) (Error described.Key) "the parameter"
                      set gradient place before
                      Expect.isOk (FiniteChecks.gradient optimisation) "without it")
          }

      test "the layer whose values go wrong first is named" {
          use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
          use _ = torch.NewDisposeScope()
          let batch = images torch.ScalarType.Float32 "numbers" 4
          Expect.equal (FiniteChecks.firstNotFinite network batch) "loss" "all is well"
          let weight = network.Parameters |> List.find (fun (p, _) -> p.Key.StartsWith "layer2.0") |> snd
          set weight 0 nanf
          Expect.stringStarts (FiniteChecks.firstNotFinite network batch) "layer2.0" "the layer"
      }

      test "channels of one sign are counted by layer" {
          use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
          use _ = torch.NewDisposeScope()
          let batch = images torch.ScalarType.Float32 "numbers" 4
          let before = Map(FiniteChecks.oneSign (SignLayers.shares network batch))
          let shift = network.Parameters |> List.find (fun (p, _) -> p.Key = "layer2.0.move0.bias") |> snd

          for place in 0..2 do
              set shift place 1e6f

          let after = Map(FiniteChecks.oneSign (SignLayers.shares network batch))

          let changed =
              [ for KeyValue(layer, count) in after do
                    if before.TryFind layer <> Some count then
                        layer, count ]

          Expect.exists changed (fun (layer, count) -> layer.StartsWith "layer2.0" && count >= 3) $"{changed}"
      }

      test "a gradient a hundred times the mean explodes, once the mean is settled" {
          let after steps = { TrainingCursor.startOf 0 with Step = steps; Norms = float steps * 2.0 }
          Expect.equal (FiniteChecks.explodes (after 20) 201.0) (Some 2.0) "beyond"
          Expect.isNone (FiniteChecks.explodes (after 20) 199.0) "below"
          Expect.isNone (FiniteChecks.explodes (after 19) 1e9) "too early"
      } ]

let tests = testList "numbers" [ testList "rules" rules; testList "found" found ]
