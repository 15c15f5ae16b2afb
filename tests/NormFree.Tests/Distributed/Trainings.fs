/// A short training that any number of ranks can run, and its comparable result.
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

/// Images, some of them unreadable, including a whole batch of the second epoch. The batch size is not divisible by any tested number of ranks.
let private data =
    lazy
        (let drawn = Synthetic.dataset 3L 40 20
         let train = ImageSource.subset [| 0..32 |] drawn.Train
         let lost = Set [ 4; yield! (Loader.shuffled 1L 1_000_001 33)[14..20] ]

         { drawn with
             Train = { train with Load = fun i -> if lost.Contains i then Error "damaged" else train.Load i } })

/// 5 batches per epoch, one of them unreadable in the second: 24 steps.
let recipe = { quick with Epochs = 5; Batch = 7; WarmUp = 1.0; WeightDecay = 1e-3 }

/// The result of a training: weights and running statistics, log and events.
type Outcome = { Tensors: (string * float[]) list; History: EpochRecord list; Events: TrainingEvent list }

let isStep event =
    match event with
    | StepDone _ -> true
    | _ -> false

/// A teacher that returns NaN at some steps, to make one rank's micro-batch fail.
let private teacher (dtype: torch.ScalarType) (isFailing: int -> bool) steps (images: torch.Tensor) =
    let value = if isFailing (steps ()) then nan else 0.5
    torch.full ([| images.shape[0]; 10L |], torch.tensor(value).ToScalar(), dtype)

/// Trains a tiny network in the given type. <c>isFailing</c> selects the steps at which this rank's loss becomes NaN.
let runWith (recipe: Recipe) (runOptions: RunOptions) folder (isFailing: (int -> bool) option) dtype norm : Outcome =
    let events = ResizeArray()
    let runOptions = { runOptions with Workers = 1; OnEvent = events.Add }
    let steps () = events |> Seq.filter isStep |> Seq.length

    let recipe =
        if isFailing.IsSome then
            { recipe with Loss = Distillation "injected" }
        else
            recipe

    use network =
        Network.create dtype Rule.Corrected 1L (Net.withBinarise ActivationsAndWeights (tiny norm))

    use optimisation = new Optimisation(recipe, network)

    let state: TrainingState = { TrainingState.Of(recipe, "activations+weights") with Threads = 1 }

    let stage =
        { Number = 1
          Network = network
          Optimisation = optimisation
          ImageTask = ImageTask.Of data.Value
          Start = state
          Best = None }

    let writer = CheckpointWriter(folder, runOptions, stage)

    let job =
        { Name = state.Stage
          Number = 1
          Recipe = recipe
          Dataset = data.Value
          Teacher = isFailing |> Option.map (fun isFailing -> teacher dtype isFailing steps) }

    TrainingLoop.run runOptions job network optimisation writer state.TrainingCursor

    { Tensors = [ for name, tensor in network.Tensors -> name, Agreement.values tensor ]
      History = writer.History
      Events = List.ofSeq events }

let run runOptions = runWith recipe runOptions

/// The largest difference between the tensors of two trainings, relative to each tensor's largest value (at least 1).
let distance (a: (string * float[]) list) (b: (string * float[]) list) =
    List.map2
        (fun (_, a: float[]) (_, b: float[]) ->
            let size = a |> Array.map abs |> Array.max |> max 1.0
            (Array.map2 (fun x y -> abs (x - y)) a b |> Array.max) / size)
        a
        b
    |> List.max

/// Trains in float64, where a wrong partition is distinguishable from rounding.
let inFloat64 accumulate norm ranks =
    run { RunOptions.Default with Ranks = ranks; Accumulate = accumulate } None None torch.ScalarType.Float64 norm
