namespace NormFree.Training

open System
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// The state in which a stage starts, or resumes from its run folder.
[<RequireQualifiedAccess>]
module internal StageResume =

    let label (plan: Plan) net =
        match plan.Label, Net.tryBinary net with
        | "", Some body -> Names.norm body.Norm
        | "", None -> net.Name
        | label, _ -> label

    /// The run folder on the rank that writes to it; None on other ranks.
    let writableFolder (plan: Plan) = if plan.Options.Ranks.Rank = 0 then plan.Folder else None

    let describe (plan: Plan) net configuration changes finished =
        match writableFolder plan with
        | None -> ()
        | Some folder ->
            RunFolder.describe
                folder
                { Label = label plan net
                  Arguments = plan.Arguments
                  Configuration = Some { configuration with RunConfiguration.Changes = changes }
                  Places = Some(RunPlaces.now folder.Path)
                  Finished = finished }

    let imagesUsed (dataset: Dataset) =
        { Train = ImageSource.fingerprint dataset.Train
          Test = ImageSource.fingerprint dataset.Test
          Augmentation = dataset.Augmentation.Train }

    /// The state of a stage that starts now.
    let newState (plan: Plan) (network: Network) recipe history changes : TrainingState =
        { Recipe = recipe
          Stage = Names.stageOf network.Spec
          History = history
          TrainingCursor = TrainingCursor.startOf 0
          Images = Some(imagesUsed plan.Dataset)
          Threads = torch.get_num_threads ()
          Execution = Some network.Execution
          Machine = Some(Machine.arithmeticOn plan.Options.Device)
          BatchPartition = Some plan.Options.BatchPartition
          Changes = changes
          Teacher = Recipe.teacher recipe |> Option.map Fingerprint.ofTeacher
          Method = Some(RecipeMethod.number recipe network.Spec) }

    /// Whether the run's log has epochs of a stage.
    let private isLogged folder stage =
        try
            (RunFolder.readRun folder).Epochs |> List.exists (fun epoch -> epoch.Stage = stage)
        with
        | :? InvalidFileException
        | :? TrainingException
        | :? IOException -> false

    /// Warns if checkpoints of the stage are missing, from which it would otherwise resume.
    let private warnAboutMissing (plan: Plan) (folder: RunFolder) stage number checkpoints =
        let missing = $"{folder.Last number} is missing."

        let warning =
            match checkpoints with
            | (0, _) :: _ -> None
            | (_, path: string) :: _ -> Some $"{missing} Resuming from the checkpoint before it, {path}."
            | [] when
                File.Exists(folder.Best number)
                || not (RunFolder.checkpoints folder (number + 1)).IsEmpty
                || isLogged folder stage
                ->
                Some $"{missing} Stage {number} has no other checkpoint to resume from and starts from its first epoch."
            | [] -> None

        if plan.Options.Ranks.Rank = 0 then
            warning |> Option.iter (Warning >> plan.Options.OnEvent)

    /// Restores a stage from its newest readable checkpoint; None if it has no checkpoint.
    let restore (plan: Plan) number (network: Network) (optimisation: Optimisation) (current: TrainingState) =
        let reportUnreadable (error: exn) older =
            match older with
            | [] ->
                TrainingException
                    $"{error.Message} No earlier checkpoint of the stage can be read: start a new run in another folder."
                |> raise
            | (_, next: string) :: _ ->
                plan.Options.OnEvent(Warning $"{error.Message} Resuming from the checkpoint before it, {next}.")

        let rec from files =
            match files with
            | [] -> None
            | (_, path) :: older ->
                let saved =
                    try
                        Ok(
                            Checkpoint.resume
                                path
                                (ResumeChecks.requireSameSettings plan network current path)
                                network
                                optimisation
                        )
                    with
                    | :? InvalidFileException as error -> Error(error :> exn)
                    | :? IOException as error -> Error error

                match saved with
                | Ok state -> Some(path, state)
                | Error error ->
                    reportUnreadable error older
                    from older

        plan.Folder
        |> Option.bind (fun folder ->
            let checkpoints = RunFolder.checkpoints folder number
            warnAboutMissing plan folder current.Stage number checkpoints
            from checkpoints)

    /// Whether all epochs of the stage are finished.
    let isDone (saved: TrainingState) = saved.TrainingCursor.Epoch >= saved.Recipe.Epochs

    /// Adds a change to the run's description.
    let addChange what (saved: TrainingState) =
        { saved with
            Changes = saved.Changes @ [ $"{saved.Stage}, after {TrainingCursor.describe saved.TrainingCursor}: {what}" ] }

    /// Warns if the stage resumes with other arithmetic.
    let noteArithmetic (plan: Plan) (current: TrainingState) path (saved: TrainingState) =
        if isDone saved || current.RoundsAs saved then
            saved
        else
            let text (state: TrainingState) =
                let machine = state.Machine |> Option.map (fun m -> $", {m}") |> Option.defaultValue ""
                state.Arithmetic + machine

            plan.Options.OnEvent(
                Warning
                    $"{path} was written with {text saved}. This run uses {text current}, so sums are rounded differently."
            )

            saved |> addChange $"{text current} instead of {text saved}"

    /// Warns if the stage resumes with another method that affects its recipe.
    let noteMethod (plan: Plan) net (current: TrainingState) path (saved: TrainingState) =
        if isDone saved || saved.Method = current.Method then
            saved
        else
            let number = RecipeMethod.number saved.Recipe net

            let before =
                match saved.Method with
                | Some number -> $"method {number}"
                | None -> "an older version's method"

            let updated = { saved with Method = current.Method }

            match String.concat ", " (RecipeMethod.changedSince saved.Method saved.Recipe net) with
            | "" -> updated
            | rules ->
                plan.Options.OnEvent(
                    Warning
                        $"{path} was trained by {before}. It resumes with method {number}, whose rules for {rules} may differ."
                )

                updated |> addChange $"method {number} instead of {before}, for {rules}"

    /// Verifies the stage's best checkpoint, and warns if it is lost. Returns the best epoch on disk.
    let private verifyBest (plan: Plan) number (saved: TrainingState) : EpochRecord option * TrainingState =
        match writableFolder plan with
        | None -> None, saved
        | Some folder ->
            match BestCheckpoint.verify folder number saved with
            | best, None -> best, saved
            | best, Some what ->
                plan.Options.OnEvent(Warning what)
                best, saved |> addChange what

    /// The state in which the stage starts or resumes, and the epoch of its best checkpoint. `initialise` is called if it starts.
    let start (plan: Plan) number network optimisation (current: TrainingState) (initialise: Network -> unit) =
        match restore plan number network optimisation current with
        | None ->
            initialise network
            current, None
        | Some(path, saved) ->
            let saved = saved |> noteArithmetic plan current path |> noteMethod plan network.Spec current path

            plan.DataMoved
            |> Option.iter (fun where ->
                plan.Options.OnEvent(
                    Warning
                        $"the data are in another place ({where}). The fingerprints of the training and the test images were checked: they \
                          are the run's."
                ))

            plan.Options.OnEvent(Resumed(saved.Stage, saved.TrainingCursor.Epoch, saved.TrainingCursor.Step))
            let best, saved = verifyBest plan number saved
            writableFolder plan |> Option.iter (fun folder -> RunFolder.repairLog folder saved.History)

            { saved with
                Recipe = current.Recipe
                Teacher = current.Teacher
                Images = current.Images
                Threads = current.Threads
                Execution = current.Execution
                Machine = current.Machine
                BatchPartition = current.BatchPartition },
            best

    /// The network with the variances that were measured when the stage started, if a checkpoint of it has them.
    let measuredBefore (plan: Plan) number net =
        let fromFile path =
            let found = Checkpoint.readSpec path

            Net.tryBinary found
            |> Option.filter (fun body -> Net.withExpectedVariance body.ExpectedVariance net = found)
            |> Option.map (fun _ -> found)

        plan.Folder |> Option.bind (fun folder -> RunFolder.tryNewest folder number fromFile)

    /// The network with the measured variances of the checkpoint that it is initialised from: the shifts were trained with them.
    let fromCheckpoint (plan: Plan) number path net =
        let withItsVariances () =
            match (Checkpoint.readSpec path).ExpectedVariance with
            | ExpectedVariance.Measured variances as measured when
                variances.Length = (Net.residualBlocks net).Length && DataDependentInit.appliesTo net
                ->
                Net.withExpectedVariance measured net
            | _ -> net

        measuredBefore plan number net |> Option.defaultWith withItsVariances

    /// Loads the weights of a checkpoint, and says so if the classifier is not among them.
    let loadInit (plan: Plan) path (network: Network) =
        match Checkpoint.start path plan.Dataset.Classes network with
        | None -> ()
        | Some classes ->
            let what =
                if classes.Length = network.Spec.Classes then
                    $"other classes ({Quoted.Name classes[0]}, …) than {plan.Dataset.Name} ({Quoted.Name plan.Dataset.Classes[0]}, …)"
                else
                    $"{classes.Length} classes, and {plan.Dataset.Name} has {network.Spec.Classes}"

            plan.Options.OnEvent(
                Warning $"{path} has {what}: the classifier starts with new weights; all others are loaded."
            )

    /// The network with measured variances, and the function that sets its measured shifts. `setWeights` prepares the network that is measured.
    let measured (plan: Plan) number recipe net (setWeights: Network -> unit) =
        match measuredBefore plan number net with
        | Some net -> net, ignore
        | None ->
            let train, _ = StageImages.split recipe plan.Dataset

            let measured =
                DataDependentInit.measure plan.Options (ImageTask.Of plan.Dataset) recipe train net setWeights

            measured.Net,
            fun network ->
                DataDependentInit.apply measured network
                (measured :> IDisposable).Dispose()
