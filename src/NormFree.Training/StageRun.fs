namespace NormFree.Training

open System
open NormFree.Kernels.Simd
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// One stage of a plan, with its teacher, from its start to its end.
[<RequireQualifiedAccess>]
module internal StageRun =

    /// Why a teacher's answers would mean something else on these images: it sees them as the student does, with the student's labels.
    let mismatch (plan: Plan) (teacher: ImageTask) =
        let dataset = plan.Dataset

        if teacher.Classes.Length <> dataset.Classes.Length then
            Some $"it knows {teacher.Classes.Length} classes, the data set has {dataset.Classes.Length}"
        elif teacher.Classes <> dataset.Classes then
            Some "its classes have other names, or another order"
        elif teacher.Size <> dataset.Size then
            Some $"it takes images of {teacher.Size}×{teacher.Size} pixels, not {dataset.Size}×{dataset.Size}"
        elif teacher.Normalisation <> dataset.Normalisation then
            Some "its images are normalised otherwise"
        else
            None

    /// A network where and as the surroundings say. What cannot be as they say is computed as it can be.
    let placed (plan: Plan) network =
        network |> Network.on plan.Options.Device |> Network.running plan.Options.Execution

    /// Loads the teacher that the recipe names.
    let teacher (plan: Plan) (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path ->
            let checkpoint = Checkpoint.load torch.ScalarType.Float32 path

            match mismatch plan checkpoint.ImageTask with
            | None -> Some { checkpoint with Network = placed plan checkpoint.Network }
            | Some what ->
                (checkpoint :> IDisposable).Dispose()

                raise (
                    TrainingException
                        $"The teacher {path} does not fit the data set {plan.Dataset.Name}: {what}. Train it on this data set."
                )
        | CrossEntropy
        | LabelSmoothing _ -> None

    let runOn (plan: Plan) number (teacher: Checkpoint option) (network: Network) optimisation state =
        let stage =
            { Number = number
              Network = network
              Optimisation = optimisation
              ImageTask = ImageTask.Of plan.Dataset
              Start = state }

        let job =
            { Name = state.Stage
              Number = number
              Recipe = state.Recipe
              Dataset = plan.Dataset
              Teacher = teacher |> Option.map (fun t images -> t.Network.Forward(images, Evaluate)) }

        let keeper = CheckpointWriter(plan.Folder, plan.Options, stage)
        Stage.run plan.Options job network optimisation keeper state.TrainingCursor
        keeper.History

    /// Ranks take the same steps from the same place, or none.
    let requireSameStart (plan: Plan) (network: Network) (optimisation: Optimisation) (state: TrainingState) =
        let json (value: 'a) () = Json.write value

        Collectives.requireSame
            plan.Options.Ranks
            "Give all ranks the same command, images and run folder (one that all nodes share), and nodes of one kind."
            [ "network", json network.Spec
              "recipe", json state.Recipe
              "teacher", json (state.Teacher)
              "images", json state.Images
              "place in the training",
              json (state.TrainingCursor.Epoch, state.TrainingCursor.Progress, state.TrainingCursor.Step)
              "weights", (fun () -> Fingerprint.ofTensors (network.Tensors @ optimisation.State))
              "way of dividing batches", json state.BatchPartition
              "engine or precision", json state.Execution
              "number of threads", json state.Threads
              "instruction set", (fun () -> string InstructionSets.Best) ]

    /// Runs one stage, or what is left of it, on a network that starts as `begin'` leaves it.
    let run (plan: Plan) number configuration (recipe: Recipe) net history changes (begin': Network -> unit) =
        PlanChecks.requireKeepable plan

        let network =
            Network.create torch.ScalarType.Float32 recipe.Deviations.BinaryInit recipe.Seed net |> placed plan

        try
            use optimisation = new Optimisation(recipe, network)
            let teacher = teacher plan recipe

            use _ =
                { new IDisposable with
                    member _.Dispose() = teacher |> Option.iter (fun t -> (t :> IDisposable).Dispose()) }

            use _ = StageStart.written plan |> Option.map RunLock.Take |> Option.toObj
            let here = StageStart.stateHere plan network recipe history changes
            let state = StageStart.startOf plan number network optimisation here begin'
            requireSameStart plan network optimisation state

            // From here on the folder holds a run, so whatever can be refused must have been, and all ranks have read what was in it.
            StageStart.describe plan net configuration state.Changes false
            let history = runOn plan number teacher network optimisation state

            { Plan = plan
              Network = network
              Stages = number
              Configuration = configuration
              State = { state with History = history; TrainingCursor = TrainingCursor.startOf recipe.Epochs } }
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()
