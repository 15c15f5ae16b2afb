/// Trained networks and checkpoint files for the tests of checkpoints.
module NormFree.Tests.Training.CheckpointSupport

open System.IO
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

let create norm = Network.create torch.ScalarType.Float32 Rule.Corrected 9L (tiny norm)

let accuracy loss = { Loss = loss; Top1 = 1.0 / 3.0; Top5 = 0.9; Images = 100 }

let issue =
    { Stage = "activations"
      Epoch = 2
      Step = 1
      Layer = "layer1.0"
      Batch = [ 3; 1; 2 ]
      What = "the loss is NaN" }

let record: EpochRecord =
    { Stage = "activations"
      Epoch = 1
      Epochs = 2
      LearningRate = 1e-3 / 3.0
      Train = accuracy 2.1
      Test = accuracy (1.0 / 3.0)
      HeldOut = None
      Clipped = 0.25
      ClippedOf = [ "conv1.weight", 0.25 ]
      Unreadable = 3
      Health = Some { Skipped = 1; RolledBack = 2; Issues = [ issue ]; OneSign = [ "layer1.0", 3 ] }
      Seconds = 12.5 }

/// In the middle of the second epoch, with values that have no short decimal form.
let cursor =
    { TrainingCursor.startOf 1 with
        Progress = { Places = 40; Unreadable = 1 }
        Step = 2
        Sums = { LossSum = 100.0 / 3.0; First = 7L; AmongFive = 20L; Seen = 39 }
        Clipped = [ "conv1.weight", 16L, 3L ]
        Rate = 1e-3 / 7.0
        Norms = 2.0 / 3.0
        Seconds = 1.5 }
    |> TrainingCursor.noticing issue

let checkpoint network =
    { Network = network
      ImageTask = ImageTask.Of(Synthetic.dataset 1L 10 10)
      State =
        { Recipe = { quick with Loss = LabelSmoothing 0.1 }
          Stage = "activations"
          History = [ record ]
          TrainingCursor = cursor
          Images = Some { Train = "train"; Test = "test"; Augmentation = [ Flip; PadCrop 4 ] }
          Threads = 2
          Execution = Some Execution.Default
          Machine = Some "a machine"
          BatchPartition = Some { Ranks = 2; Accumulate = 3 }
          Changes = [ "a change" ]
          Teacher = Some "a teacher"
          Method = Some 7 } }

let step (network: Network) (optimisation: Optimisation) key =
    use _ = torch.NewDisposeScope()
    network.ClearGradients()
    Losses.CrossEntropy(network.Forward(images torch.ScalarType.Float32 key 4, Train), labels 4).backward()
    optimisation.Clip()
    optimisation.Move 1e-3

/// A network after three steps, with its optimiser.
let trained recipe norm =
    let network = create norm
    let optimisation = new Optimisation(recipe, network)

    for number in 1..3 do
        step network optimisation $"step {number}"

    network, optimisation

let stateBits (optimisation: Optimisation) =
    ("steps", System.BitConverter.GetBytes optimisation.Steps)
    :: [ for name, tensor in optimisation.State -> name, bits tensor ]

let optimisers = [ Adam; AdamW; Sgd 0.9; Sgd 0.0 ]

let classNames n = [| for i in 1..n -> $"class {i}" |]
let ten = classNames 10

let withFile inspect =
    use folder = new TempFolder()
    let path = folder.File "a.safetensors"
    use network = create (BnFree 0.2)
    use optimisation = new Optimisation(quick, network)
    Checkpoint.save path (Some optimisation) (checkpoint network)
    inspect folder path network optimisation

let load path = Checkpoint.load torch.ScalarType.Float32 path

let unchanged (_: string) text = text
