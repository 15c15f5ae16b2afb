/// A training in float64 that any number of ranks can do: what is compared between them.
module NormFree.Tests.Distributed.Trainings

open System.Text.Json.Serialization
open NormFree.Data
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

/// Images of which some cannot be read, all of one batch of the second epoch among them; no number of ranks divides the batch.
let private data =
    lazy
        (let drawn = Synthetic.dataset 3L 40 20
         let train = ImageSource.subset [| 0..32 |] drawn.Train
         let lost = Set [ 4; yield! (Loader.shuffled 1L 1_000_001 33)[14..20] ]

         { drawn with
             Train = { train with Load = fun i -> if lost.Contains i then Error "damaged" else train.Load i } })

/// 5 batches an epoch, of which one is gone in the second: 20 steps and some.
let private recipe = { quick with Epochs = 5; Batch = 7; WarmUp = 1; WeightDecay = 1e-3 }

/// What a training comes to: weights and running statistics, and its log.
type Outcome = { Tensors: (string * float[]) list; History: EpochRecord list; Events: TrainingEvent list }

let isStep event =
    match event with
    | StepDone _ -> true
    | _ -> false

/// A teacher that stands for whatever may make one rank's part go wrong, behind some steps.
let private teacher (dtype: torch.ScalarType) (isWrong: int -> bool) steps (images: torch.Tensor) =
    let value = if isWrong (steps ()) then nan else 0.5
    torch.full ([| images.shape[0]; 10L |], torch.tensor(value).ToScalar(), dtype)

/// Trains a tiny network in that type, by a teacher where it is said behind which steps this rank's part of a batch is wrong.
let run (runOptions: RunOptions) folder (isWrong: (int -> bool) option) dtype norm : Outcome =
    let events = ResizeArray()
    let runOptions = { runOptions with Workers = 1; Watch = events.Add }
    let steps () = events |> Seq.filter isStep |> Seq.length

    let recipe =
        if isWrong.IsSome then
            { recipe with Loss = Distillation "injected" }
        else
            recipe

    use network =
        Network.create dtype Rule.Corrected 1L (Net.withBinarise ActivationsAndWeights (tiny norm))

    use optimisation = new Optimisation(recipe, network)

    let state: TrainingState =
        { Recipe = recipe
          Stage = "activations+weights"
          History = []
          TrainingCursor = TrainingCursor.startOf 0
          Images = None
          Threads = 1
          Execution = None
          Machine = None
          BatchPartition = None
          Changes = []
          Teacher = Skippable.Skip
          Method = Skippable.Skip }

    let stage =
        { Number = 1
          Network = network
          Optimisation = optimisation
          ImageTask = ImageTask.Of data.Value
          Begin = state }

    let keeper = CheckpointWriter(folder, runOptions, stage)

    let job =
        { Name = state.Stage
          Number = 1
          Recipe = recipe
          Dataset = data.Value
          Teacher = isWrong |> Option.map (fun isWrong -> teacher dtype isWrong steps) }

    Stage.run runOptions job network optimisation keeper state.TrainingCursor

    { Tensors = [ for name, tensor in network.Tensors -> name, Agreement.values tensor ]
      History = keeper.History
      Events = List.ofSeq events }

/// The largest difference between two trainings' tensors, as a share of the tensor's largest value.
let distance (a: (string * float[]) list) (b: (string * float[]) list) =
    List.map2
        (fun (_, a: float[]) (_, b: float[]) ->
            let size = a |> Array.map abs |> Array.max |> max 1.0
            (Array.map2 (fun x y -> abs (x - y)) a b |> Array.max) / size)
        a
        b
    |> List.max

/// In the type in which divisions can be told from rounding.
let inFloat64 accumulate norm ranks =
    run { RunOptions.Default with Ranks = ranks; Accumulate = accumulate } None None torch.ScalarType.Float64 norm
