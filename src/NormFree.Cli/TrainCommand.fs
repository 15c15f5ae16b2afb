namespace NormFree.Cli

open System
open System.IO
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

/// <summary><c>normfree train</c>.</summary>
[<RequireQualifiedAccess>]
module internal TrainCommand =

    let private network (configuration: RunConfiguration) (dataset: NormFree.Data.Dataset) : NetSpec =
        let network = configuration.Network

        let size = { Width = defaultArg network.Width 1.0; Depth = defaultArg network.Depth 1.0 }

        let net =
            NetworkOptions.named network.Architecture size (NetworkOptions.stem network.Stem dataset.Size)
            |> Net.withClasses dataset.Classes.Length

        match network.Norm, network.Shortcut with
        | Some norm, Some shortcut -> net |> Net.withNorm norm |> Net.withShortcutWeights shortcut
        | Some norm, None -> net |> Net.withNorm norm
        | None, _ -> net

    let private options (configuration: RunConfiguration) =
        let execution = configuration.Execution
        NetworkOptions.useThreads execution.Threads
        execution.Device.Require()
        NetworkOptions.execution execution.Device execution.Engine execution.Precision |> ignore
        Configuration.toOptions execution

    let private stages (configuration: RunConfiguration) net (plan: Plan) : RunLog =
        let init = configuration.Init

        match configuration.Stage1, configuration.Stage2 with
        | Some first, Some second ->
            plan |> Pipeline.trainFrom init first net |> Pipeline.binariseWeights second |> Pipeline.finish
        | None, Some second -> plan |> Pipeline.trainBinaryFrom init second net |> Pipeline.finish
        | Some first, None -> plan |> Pipeline.trainFrom init first net |> Pipeline.finish
        | None, None -> raise (UsageException "the configuration has no stage to train.")

    /// Epoch and top-1 of the network in a stage's best checkpoint. The log's best epoch may be lost.
    let private best (folder: RunFolder) stage =
        let number = if stage = Names.binarise ActivationsAndWeights then 2 else 1

        match BestCheckpoint.tryEpoch folder number with
        | Some record -> [ string record.Epoch; Show.percent record.Test.Top1 ]
        | None -> [ "none"; "" ]

    let private result (folder: RunFolder) (run: RunLog) =
        Show.table
            [ "stage"; "epochs"; "last top-1"; "last top-5"; "best epoch"; "its top-1" ]
            [ for stage, records, _ in run.Stages do
                  let last = List.last records

                  [ stage; string records.Length; Show.percent last.Test.Top1; Show.percent last.Test.Top5 ]
                  @ best folder stage ]

        Output.line $"Checkpoints and log: {folder.Path}"

    /// What a resumed run accepts: its folder, how the work is done, and the place of its teacher.
    let private allowedOnResume =
        lazy
            (set (
                [ for spec in Commands.trainExecution -> spec.Name ]
                @ [ "--resume"; "--out"; "--teacher"; "--keep"; "--checkpoint-every" ]
                @ [ "--on-nonfinite"; "--json-log"; "--strict"; "--print-config" ]
            ))

    let private requireSettingsKept (args: Arguments) =
        match args.Given |> List.filter (fun (name, _) -> not (allowedOnResume.Value.Contains name)) with
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
    let private taughtFrom path (recipe: Recipe) =
        match path, recipe.Loss with
        | None, _ -> recipe
        | Some path, Distillation _ -> { recipe with Loss = Distillation path }
        | Some path, _ -> raise (UsageException $"the run has no teacher: omit --teacher {path}.")

    /// The configuration of a run that is resumed, and the command line that started it.
    let private resumed (args: Arguments) folder =
        requireSettingsKept args
        let description = RunFolder.readDescription folder

        if description.Arguments.IsEmpty then
            raise (UsageException $"{folder.Path} was made by a script: run the script again to resume it.")

        let configuration =
            description.Configuration
            |> Option.defaultWith (fun () -> Parser.parse Commands.train description.Arguments |> TrainSettings.resolve)
            |> withCheckpoints folder

        let teacher = args.TryGet Options.teacher

        { configuration with
            Stage1 = configuration.Stage1 |> Option.map (taughtFrom teacher)
            Stage2 = configuration.Stage2 |> Option.map (taughtFrom teacher)
            Execution = TrainSettings.execution args configuration.Execution
            Changes = [] },
        description.Arguments

    let private folder (args: Arguments) (configuration: RunConfiguration option) : RunFolder =
        match args.TryGet Options.out, configuration with
        | Some path, _ -> { Path = path }
        | None, Some configuration ->
            let network = configuration.Network
            let norm = (TrainSettings.normText network).Replace(':', '-')
            { Path = Path.Combine("runs", if norm = "" then network.Architecture else $"{network.Architecture}-{norm}") }
        | None, None -> { Path = Path.Combine("runs", $"{args.Get Options.arch}-{Options.norm.Spec.Default}") }

    let private requireNoRun (folder: RunFolder) =
        if RunFolder.holdsRun folder then
            raise (
                UsageException
                    $"{folder.Path} already holds a run: resume it with --resume, or choose another folder with --out."
            )

    /// The folder of the run, its configuration and the command line that started it.
    let private settings (args: Arguments) =
        if args.Has Options.resume then
            let folder = folder args None
            let configuration, arguments = resumed args folder
            folder, configuration, arguments
        else
            let configuration = TrainSettings.resolve args
            let folder = folder args (Some configuration)
            requireNoRun folder
            folder, configuration, args.Words

    /// mpirun may kill ranks before they have written a checkpoint.
    let private warnOfEarlyKills watch =
        if Launcher.KillsRanksEarly then
            watch (
                Warning
                    "mpirun kills ranks one second after Ctrl-C or SIGTERM, perhaps before the checkpoint is written: give it \
                     --mca odls_base_sigkill_timeout 10."
            )

    let private train (args: Arguments) (ranks: IRanks) =
        let folder, configuration, arguments = settings args
        let runOptions = options configuration
        let kind = defaultArg configuration.Dataset.Kind NormFree.Data.DatasetKind.Synthetic
        let dataset = Images.load kind configuration.Dataset.Path (TrainSettings.datasetOptions configuration)
        let net = network configuration dataset

        let finished =
            Outcome.untilInterrupted
                $"All steps are kept; resume with: normfree train --resume --out {folder.Path}"
                (fun cancellation ->
                    Show.progress ranks (args.Has Options.jsonLog) (fun watch ->
                        warnOfEarlyKills watch
                        dataset.Notes |> List.iter (Warning >> watch)

                        { Pipeline.from dataset with
                            Folder = Some folder
                            Label = TrainSettings.normText configuration.Network
                            Arguments = arguments
                            Configuration = Some configuration
                            Options = { runOptions with OnEvent = watch; Cancellation = cancellation; Ranks = ranks } }
                        |> stages configuration net))

        if ranks.Rank = 0 && not (args.Has Options.jsonLog) then
            result folder finished

    /// The configuration that a run would have.
    let private resolved (args: Arguments) =
        if args.Has Options.resume then
            fst (resumed args (folder args None))
        else
            TrainSettings.resolve args

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) =
        if args.Has Options.printConfig then
            Output.line (ConfigurationFile.write (resolved args))
        else
            Job.run (args.TryGet Options.rankTimeout |> Option.map TimeSpan.FromSeconds) (train args)
