namespace NormFree.Cli

open System.IO
open NormFree.Runs
open NormFree.Networks

/// <summary>The configuration of a run that <c>normfree train --resume</c> continues.</summary>
[<RequireQualifiedAccess>]
module internal ResumedRun =

    /// The names of the options that a resumed run accepts: its folder, how the work is done, and the places of its data and its teacher.
    let allowedOptions =
        lazy
            ([ yield! CommandTable.Networks.trainExecution
               Options.Run.resume.Spec
               Options.Run.out.Spec
               Options.Run.keep.Spec
               Options.Run.checkpointEvery.Spec
               Options.Run.onNonFinite.Spec
               Options.Run.jsonLog.Spec
               Options.Run.printConfig.Spec
               Options.Run.timeLimit.Spec
               Options.Data.dataPath.Spec
               Options.Data.strict.Spec
               Options.Recipe.teacher.Spec ]
             |> List.map _.Name
             |> set)

    let private requireSettingsKept (args: Arguments) =
        match args.Given |> List.filter (fun (name, _) -> not (allowedOptions.Value.Contains name)) with
        | [] -> ()
        | others ->
            let words = [ for name, value in others -> $"{name} {value}".TrimEnd() ] |> String.concat ", "
            raise (UsageException $"a resumed run keeps its settings: omit {words}.")

    /// The recipes of a run's checkpoints replace those of its configuration: they say how the weights were trained. The teacher is where the newest
    /// stage found it.
    let private withCheckpoints folder (configuration: RunConfiguration) =
        let first, second =
            match Checkpoint.recipeOfRun folder 1, Checkpoint.recipeOfRun folder 2, configuration.Stage2 with
            | Some one, Some two, _ -> Some { one with Loss = two.Loss }, Some two
            | Some one, None, Some second -> Some one, Some { one with WeightDecay = second.WeightDecay }
            | Some one, None, None -> Some one, None
            | None, Some two, _ ->
                configuration.Stage1 |> Option.map (fun first -> { two with WeightDecay = first.WeightDecay }), Some two
            | None, None, _ -> configuration.Stage1, configuration.Stage2

        { configuration with Stage1 = first; Stage2 = second }

    /// The recipe with a teacher that has moved.
    let private taughtFrom path locate (recipe: Recipe) =
        match path, recipe.Loss with
        | None, Distillation path -> { recipe with Loss = Distillation(locate path) }
        | None, _ -> recipe
        | Some path, Distillation _ -> { recipe with Loss = Distillation path }
        | Some path, _ -> raise (UsageException $"the run has no teacher: omit --teacher {path}.")

    /// The data set where it is now.
    let private movedTo (args: Arguments) locate (dataset: DatasetConfiguration) =
        { dataset with
            Path = args.TryGet Options.Data.dataPath |> Option.orElse (Option.map locate dataset.Path) }

    /// The note that the data set has moved; the stages compare the fingerprints.
    let private movement (before: RunConfiguration) (now: RunConfiguration) =
        match before.Dataset.Path, now.Dataset.Path with
        | before, Some now when before <> Some now ->
            let before = defaultArg before "no path"
            Some $"{now} instead of {before}"
        | _ -> None

    /// The files of the teachers that the recipes name.
    let teachers (configuration: RunConfiguration) =
        [ configuration.Stage1; configuration.Stage2 ]
        |> List.choose (Option.bind Recipe.teacher)
        |> List.distinct

    /// Throws if a file of the run has moved, with the option that takes its new place.
    let private requireFound what (option: Opt<string>) (paths: string list) =
        for path in paths do
            if not (Path.Exists path) then
                raise (
                    TrainingException
                        $"The run's {what} not at {path}: give the new place with {option.Spec.Name} PATH."
                )

    /// A damaged or hostile run.json must not request more than options can.
    let private requireBounds (folder: RunFolder) (configuration: RunConfiguration) =
        match RunConfiguration.problems configuration with
        | [] -> ()
        | problems ->
            let all = String.concat " " problems

            raise (
                TrainingException
                    $"The configuration of {folder.Path} is out of bounds: {all} Restore its run.json; --threads and --workers replace those of another machine."
            )

    /// The configuration of a run that is resumed, the command line that started it, and where its data have moved.
    let read (args: Arguments) folder : RunConfiguration * string list * string option =
        requireSettingsKept args
        let description = RunFolder.readDescription folder

        if description.Arguments.IsEmpty then
            raise (UsageException $"{folder.Path} was made by a script: run the script again to resume it.")

        let configuration =
            description.Configuration
            |> Option.defaultWith (fun () ->
                Parser.parse CommandTable.Networks.train description.Arguments |> TrainSettings.resolve)
            |> withCheckpoints folder

        let teacher = args.TryGet Options.Recipe.teacher
        let locate = RunPlaces.locate folder.Path description.Places

        let here =
            { configuration with
                Dataset = movedTo args locate configuration.Dataset
                Init = Option.map locate configuration.Init
                Stage1 = configuration.Stage1 |> Option.map (taughtFrom teacher locate)
                Stage2 = configuration.Stage2 |> Option.map (taughtFrom teacher locate)
                Execution = TrainSettings.execution args configuration.Execution
                Changes = [] }

        requireBounds folder here
        requireFound "data are" Options.Data.dataPath (Option.toList here.Dataset.Path)
        requireFound "teacher is" Options.Recipe.teacher (teachers here)
        here, description.Arguments, movement configuration here
