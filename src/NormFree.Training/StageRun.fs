namespace NormFree.Training

open System
open NormFree.Kernels.Simd
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// Runs one stage of a plan, with its teacher.
[<RequireQualifiedAccess>]
module internal StageRun =

    /// Why a teacher does not fit the data set. It gets the student's images and labels.
    let mismatch (plan: Plan) (teacher: ImageTask) =
        let dataset = plan.Dataset

        if teacher.Classes.Length <> dataset.Classes.Length then
            Some $"it has {teacher.Classes.Length} classes, but the data set has {dataset.Classes.Length}"
        elif
            teacher.Classes <> dataset.Classes
            && not (ImportedNetwork.canHave dataset.Classes teacher.Dataset teacher.Classes)
        then
            Some "its classes have other names or another order"
        elif teacher.Size <> dataset.Size then
            Some $"it takes images of {teacher.Size}×{teacher.Size} pixels, not {dataset.Size}×{dataset.Size}"
        elif teacher.Normalisation <> dataset.Normalisation then
            Some "its images are normalised differently"
        else
            None

    /// The network on the plan's device, with the plan's execution where the device supports it.
    let place (plan: Plan) network = network |> Network.on plan.Options.Device |> Network.running plan.Options.Execution

    /// Loads the teacher that the recipe names.
    let teacher (plan: Plan) (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path ->
            let checkpoint = Checkpoint.load torch.ScalarType.Float32 path

            match mismatch plan checkpoint.ImageTask with
            | None ->
                if checkpoint.ImageTask.Classes <> plan.Dataset.Classes then
                    plan.Options.OnEvent(
                        Warning
                            $"the teacher {path} was imported without class names: its outputs are taken as the classes of {plan.Dataset.Name} in \
                              their order."
                    )

                Some { checkpoint with Network = place plan checkpoint.Network }
            | Some what ->
                (checkpoint :> IDisposable).Dispose()

                let remedy =
                    if checkpoint.ImageTask.Dataset = ImportedNetwork.dataset then
                        "Import it again for this data set, with --dataset and --data."
                    else
                        "Train it on this data set."

                raise (
                    TrainingException
                        $"The teacher {path} does not fit the data set {plan.Dataset.Name}: {what}. {remedy}"
                )
        | CrossEntropy
        | LabelSmoothing _
        | CustomLoss _ -> None

    let private runFrom (plan: Plan) number (teacher: Checkpoint option) (network: Network) optimisation (state, best) =
        let stage =
            { Number = number
              Network = network
              Optimisation = optimisation
              ImageTask = ImageTask.Of plan.Dataset
              Start = state
              Best = best }

        let job =
            { Name = state.Stage
              Number = number
              Recipe = state.Recipe
              Dataset = plan.Dataset
              Teacher = teacher |> Option.map (fun t images -> t.Network.Forward(images, Evaluate)) }

        let writer = CheckpointWriter(plan.Folder, plan.Options, stage)
        TrainingLoop.run plan.Options job network optimisation writer state.TrainingCursor
        writer.History

    /// Throws TrainingException unless all ranks start the same stage at the same step.
    let requireSameStart (plan: Plan) (network: Network) (optimisation: Optimisation) (state: TrainingState) =
        let json (value: 'a) () = Json.write value

        Collectives.requireSame
            plan.Options.Ranks
            "Give all ranks the same command, images and run folder (one that all nodes share), and nodes of one kind."
            [ "network", json network.Spec
              "recipe", json state.Recipe
              "teacher", json (state.Teacher)
              "images", json state.Images
              "training step",
              json (state.TrainingCursor.Epoch, state.TrainingCursor.Progress, state.TrainingCursor.Step)
              "weights", (fun () -> Fingerprint.ofTensors (network.Tensors @ optimisation.State))
              "batch partition", json state.BatchPartition
              "engine or precision", json state.Execution
              "number of threads", json state.Threads
              "instruction set", (fun () -> string InstructionSets.Best) ]

    /// Runs one stage, or the rest of it. `initialise` prepares the network of a new stage. `source` is the network whose weights it takes.
    let run (plan: Plan) number configuration recipe net source history changes (initialise: Network -> unit) =
        PlanChecks.requireOptions plan

        let network =
            Network.create torch.ScalarType.Float32 recipe.Deviations.BinaryInit recipe.Seed net |> place plan

        try
            use optimisation = new Optimisation(recipe, network)
            let teacher = teacher plan recipe

            use _ =
                { new IDisposable with
                    member _.Dispose() = teacher |> Option.iter (fun t -> (t :> IDisposable).Dispose()) }

            use _ = StageResume.writableFolder plan |> Option.map RunLock.Take |> Option.toObj
            let current = StageResume.newState plan network recipe history changes
            let state, best = StageResume.start plan number network optimisation current initialise
            requireSameStart plan network optimisation state

            // This marks the folder as a run, so all checks come before it, and all ranks have read the folder.
            StageResume.describe plan net configuration state.Changes false

            if state.TrainingCursor = current.TrainingCursor then
                TransitionTelemetry.record plan number recipe source network

            let history = runFrom plan number teacher network optimisation (state, best)

            { Plan = plan
              Network = network
              Stages = number
              Configuration = configuration
              State = { state with History = history; TrainingCursor = TrainingCursor.startOf recipe.Epochs } }
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()
