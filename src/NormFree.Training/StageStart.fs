namespace NormFree.Training

open System
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// Where a stage begins, or goes on, in the run's folder.
[<RequireQualifiedAccess>]
module internal StageStart =

    let label (plan: Plan) net =
        match plan.Label, Net.binaryBody net with
        | "", Some body -> Names.norm body.Norm
        | "", None -> net.Name
        | label, _ -> label

    /// The folder, for the one rank that writes to it.
    let written (plan: Plan) = if plan.Options.Ranks.Rank = 0 then plan.Folder else None

    let describe (plan: Plan) net configuration changes finished =
        match written plan with
        | None -> ()
        | Some folder ->
            RunFolder.describe
                folder
                { Label = label plan net
                  Arguments = plan.Arguments
                  Configuration = Some { configuration with RunConfiguration.Changes = changes }
                  Finished = finished }

    let imagesUsed (dataset: Dataset) =
        { Train = ImageSource.fingerprint dataset.Train
          Test = ImageSource.fingerprint dataset.Test
          Augmentation = dataset.Augmentation.Train }

    let teacher (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path -> Some path
        | CrossEntropy
        | LabelSmoothing _ -> None

    /// The state in which a stage begins here and now.
    let stateHere (plan: Plan) (network: Network) recipe history changes : TrainingState =
        { Recipe = recipe
          Stage = Stage.name network.Spec
          History = history
          TrainingCursor = TrainingCursor.startOf 0
          Images = Some(imagesUsed plan.Dataset)
          Threads = torch.get_num_threads ()
          Execution = Some network.Execution
          Machine = Some(Machine.arithmeticOn plan.Options.Device)
          BatchPartition = Some plan.Options.BatchPartition
          Changes = changes
          Teacher = teacher recipe |> Option.map Fingerprint.ofTeacher
          Method = Some(Recipe.method recipe network.Spec) }

    /// Files of version 1 know of their images only how many there were.
    let ofOtherImages (plan: Plan) recipe (here: TrainingState) (found: TrainingState) =
        let count = lazy (fst (StageImages.split recipe plan.Dataset)).Count

        match found.Images with
        | Some _ -> found.Images <> here.Images
        | None ->
            found.History
            |> List.exists (fun r -> r.Stage = found.Stage && r.Train.Images + r.Unreadable <> count.Value)

    /// The recipe that was found, but for a teacher that has moved. Where its fingerprint was not kept, the path must do.
    let recipeNow (here: TrainingState) (found: TrainingState) =
        match found.Recipe.Loss, here.Recipe.Loss with
        | Distillation _, Distillation _ when found.Teacher <> None ->
            { found.Recipe with Loss = here.Recipe.Loss }
        | _ -> found.Recipe

    /// The settings in which a stage's recipe is not as it was, by their names.
    let otherRecipe stage (here: Recipe) (found: Recipe) =
        List.zip (RunConfiguration.recipeRows stage here) (RunConfiguration.recipeRows stage found)
        |> List.filter (fun (here, found) -> here <> found)
        |> List.map (fst >> fst)
        |> String.concat "; "

    /// What of a checkpoint is not as this stage has it, in words.
    let otherSettings (plan: Plan) (network: Network) (here: TrainingState) spec task (found: TrainingState) =
        [ if spec <> network.Spec then
              "network"
          let recipe = recipeNow here found

          if recipe <> here.Recipe then
              $"recipe, in its {otherRecipe found.Stage here.Recipe recipe}"
          elif found.Teacher <> None && found.Teacher <> here.Teacher then
              let path = teacher found.Recipe |> Option.defaultValue "none"
              $"teacher, which has other weights than the one that it was begun with, {path}"

          if task <> ImageTask.Of plan.Dataset then
              "data set"
          elif ofOtherImages plan here.Recipe here found then
              "images or augmentation" ]

    let refuseOthers plan network here path spec task found =
        match otherSettings plan network here spec task found with
        | [] -> ()
        | others ->
            let what = String.concat ", " others

            raise (
                TrainingException
                    $"{path} is of another network, recipe or data set (not the same: {what}). Go on with the settings that it was begun with, \
                      or choose another folder."
            )

    /// Puts a stage where the newest of its checkpoints that can be read has it; nothing where it has none.
    let resume (plan: Plan) number (network: Network) (optimisation: Optimisation) (here: TrainingState) =
        let unreadable (error: exn) path older =
            match older with
            | [] ->
                TrainingException
                    $"{error.Message} No earlier checkpoint of the stage can be read either: begin the run anew in another folder."
                |> raise
            | (_, next: string) :: _ ->
                plan.Options.Watch(Warning $"{error.Message} Going on from the one before it, {next}.")

        let rec from files =
            match files with
            | [] -> None
            | (_, path) :: older ->
                let found =
                    try
                        Ok(Checkpoint.resume path (refuseOthers plan network here path) network optimisation)
                    with
                    | :? InvalidFileException as error -> Error(error :> exn)
                    | :? IOException as error -> Error error

                match found with
                | Ok state -> Some(path, state)
                | Error error ->
                    unreadable error path older
                    from older

        plan.Folder |> Option.bind (fun folder -> from (RunFolder.checkpoints folder number))

    /// Such a stage has nothing to compute.
    let isDone (found: TrainingState) = found.TrainingCursor.Epoch >= found.Recipe.Epochs

    /// Notes for the run's description that a stage goes on otherwise.
    let noting what (found: TrainingState) =
        { found with
            Changes = found.Changes @ [ $"{found.Stage}, behind {TrainingCursor.describe found.TrainingCursor}: {what}" ] }

    /// Tells that a stage goes on with other arithmetic.
    let noteArithmetic (plan: Plan) (here: TrainingState) path (found: TrainingState) =
        if isDone found || here.RoundsAs found then
            found
        else
            let words (state: TrainingState) =
                let machine = state.Machine |> Option.map (fun m -> $", {m}") |> Option.defaultValue ""
                state.Arithmetic + machine

            plan.Options.Watch(
                Warning $"{path} was made with {words found}; this run has {words here}: sums are rounded otherwise."
            )

            found |> noting $"{words here} instead of {words found}"

    /// Tells that a stage goes on by another method, where that touches its recipe.
    let noteMethod (plan: Plan) net (here: TrainingState) path (found: TrainingState) =
        if isDone found || found.Method = here.Method then
            found
        else
            let today = Recipe.method found.Recipe net

            let before =
                match found.Method with
                | Some number -> $"method {number}"
                | None -> "an older version's method"

            let now = { found with Method = here.Method }

            match String.concat ", " (Recipe.changedSince (found.Method) found.Recipe net) with
            | "" -> now
            | rules ->
                plan.Options.Watch(
                    Warning
                        $"{path} was trained by {before}: from here on it is method {today}, whose rules for {rules} may be others."
                )

                now |> noting $"method {today} instead of {before}, for {rules}"

    /// The state in which a stage goes on, or begins as `begin'` leaves the network.
    let startOf (plan: Plan) number network optimisation (here: TrainingState) (begin': Network -> unit) =
        match resume plan number network optimisation here with
        | None ->
            begin' network
            here
        | Some(path, found) ->
            let found = found |> noteArithmetic plan here path |> noteMethod plan network.Spec here path
            plan.Options.Watch(Resumed(found.Stage, found.TrainingCursor.Epoch, found.TrainingCursor.Step))
            written plan |> Option.iter (fun folder -> RunFolder.repairLog folder found.History)

            { found with
                Recipe = here.Recipe
                Teacher = here.Teacher
                Images = here.Images
                Threads = here.Threads
                Execution = here.Execution
                Machine = here.Machine
                BatchPartition = here.BatchPartition }

    /// The variances that were measured when the stage was begun, where it has a checkpoint of the same network otherwise.
    let measuredBefore (plan: Plan) number net =
        let fromFile path =
            let found = Checkpoint.readSpec path

            Net.binaryBody found
            |> Option.filter (fun body -> Net.withExpectedVariance body.ExpectedVariance net = found)
            |> Option.map (fun _ -> found)

        plan.Folder |> Option.bind (fun folder -> RunFolder.tryNewest folder number fromFile)

    /// The network as another one's checkpoint has it begin: the shifts in there were trained with the variances that were measured there.
    let initialised (plan: Plan) number path net =
        let likeThere () =
            match Net.binaryBody (Checkpoint.readSpec path), Net.binaryBody net with
            | Some { ExpectedVariance = ExpectedVariance.Measured variances as measured }, Some body when
                variances.Length = body.Layers.Length && DataDependentInit.concerns net
                ->
                Net.withExpectedVariance measured net
            | _ -> net

        measuredBefore plan number net |> Option.defaultWith likeThere

    /// The network as the start makes it of the first images, and what gives it its first shifts.
    let measured (plan: Plan) number recipe net =
        match measuredBefore plan number net with
        | Some net -> net, ignore
        | None ->
            let train, _ = StageImages.split recipe plan.Dataset
            let start = DataDependentInit.measure plan.Options (ImageTask.Of plan.Dataset) recipe train net

            start.Net,
            fun network ->
                DataDependentInit.apply start network
                (start :> IDisposable).Dispose()
