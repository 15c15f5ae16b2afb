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

        let warnOfClasses (net: NetSpec) =
            if net.Classes <> dataset.Classes.Length then
                Output.warn
                    $"the network {net.Name} has {net.Classes} classes, and the data set {dataset.Classes.Length}: the classifier gets those of the data set."

        // The stage says so of a network to start from.
        if configuration.Init.IsNone then
            network.Spec |> Option.iter warnOfClasses

        network.Spec
        |> Option.defaultWith (fun () ->
            NetworkOptions.named network.Architecture size (NetworkOptions.stem network.Stem dataset.Size))
        |> Net.withClasses dataset.Classes.Length
        |> NetworkOptions.withChoices
            { Norm = network.Norm; Shortcut = network.Shortcut; Sign = network.Sign; Slopes = network.Slopes }

    let private options (configuration: RunConfiguration) =
        let execution = configuration.Execution
        NetworkOptions.useThreads execution.Threads
        execution.Device.Require()
        Configuration.toOptions execution

    /// With the precision that is used on this processor.
    let private onThisProcessor (configuration: RunConfiguration) =
        let execution = configuration.Execution
        let usable = NetworkOptions.execution execution.Device execution.Engine execution.Precision
        { configuration with Execution = { execution with Precision = usable.Precision } }

    let private stages (configuration: RunConfiguration) net (plan: Plan) : RunLog =
        let init = configuration.Init |> Option.map InitialNetwork.path

        match configuration.Stage1, configuration.Stage2 with
        | Some first, Some second ->
            plan |> Pipeline.trainFrom init first net |> Pipeline.binariseWeights second |> Pipeline.finish
        | None, Some second -> plan |> Pipeline.trainBinaryFrom init second net |> Pipeline.finish
        | Some first, None -> plan |> Pipeline.trainFrom init first net |> Pipeline.finish
        | None, None -> raise (UsageException "the configuration has no stage to train.")

    let private folder (args: Arguments) (configuration: RunConfiguration option) : RunFolder =
        match args.TryGet Options.Run.out, configuration with
        | Some path, _ -> { Path = path }
        | None, Some configuration ->
            let network = configuration.Network
            let norm = (TrainSettings.normText network).Replace(':', '-')
            { Path = Path.Combine("runs", if norm = "" then network.Architecture else $"{network.Architecture}-{norm}") }
        | None, None ->
            { Path = Path.Combine("runs", $"{args.Get Options.Network.arch}-{Options.Network.norm.Spec.Default}") }

    let private requireNoRun (folder: RunFolder) =
        if RunFolder.holdsRun folder then
            raise (
                UsageException
                    $"{folder.Path} already holds a run: resume it with --resume, or choose another folder with --out."
            )

    let private requireNetworks (configuration: RunConfiguration) =
        ResumedRun.teachers configuration |> List.iter NetworkFile.require
        configuration.Init |> Option.iter (InitialNetwork.path >> InitialNetwork.require)

    /// The folder of the run, its configuration, the command line that started it, and where its data have moved.
    let private settings (args: Arguments) isShown =
        if args.Has Options.Run.resume then
            let folder = folder args None
            let configuration, arguments, moved = ResumedRun.read args folder
            requireNetworks configuration
            folder, configuration, arguments, moved
        else
            let args, start = OwnImages.withInit args
            let configuration = TrainSettings.resolve args
            let folder = folder args (Some configuration)
            requireNoRun folder
            requireNetworks configuration
            let configuration, said = OwnImages.resolve args configuration

            if isShown then
                start @ said |> List.iter Output.prose

            folder, configuration, args.Words, None

    /// mpirun may kill ranks before they have written a checkpoint.
    let private warnOfEarlyKills watch =
        if Launcher.KillsRanksEarly then
            watch (
                Warning
                    "mpirun kills ranks one second after Ctrl-C or SIGTERM, perhaps before the checkpoint is written: give it \
                     --mca odls_base_sigkill_timeout 10."
            )

    /// <summary>When the training stops, if it has a time limit.</summary>
    let deadline (args: Arguments) =
        args.TryGet Options.Run.timeLimit |> Option.map (fun limit -> DateTimeOffset.UtcNow + limit)

    let private isKept (folder: RunFolder) =
        $"All steps are kept; resume with: normfree train --resume --out {folder.Path}"

    /// <summary>The message of a training that its time limit ends.</summary>
    let timeIsUp folder = $"the time limit is reached. {isKept folder}"

    let private train (args: Arguments) deadline (ranks: IRanks) =
        let isShown = ranks.Rank = 0 && not (args.Has Options.Run.jsonLog)
        let folder, configuration, arguments, moved = settings args isShown
        let configuration = onThisProcessor configuration
        let runOptions = options configuration
        let dataset = OwnImages.dataset configuration
        let net = network configuration dataset

        // A resumed run keeps its settings, so advice about them would have no remedy.
        let warnings =
            if args.Has Options.Run.resume then
                []
            else
                OwnImages.warnings configuration dataset

        let plan cancellation watch =
            warnOfEarlyKills watch
            dataset.Notes @ warnings |> List.iter (Warning >> watch)

            { Pipeline.from dataset with
                Folder = Some folder
                Label = TrainSettings.normText configuration.Network
                Arguments = arguments
                Configuration = Some configuration
                DataMoved = moved
                Options =
                    { runOptions with OnEvent = watch; Cancellation = cancellation; Deadline = deadline; Ranks = ranks } }

        if args.TryGet Options.Recipe.learningRate = Some FindRate then
            Outcome.untilInterrupted "Nothing was written." (fun cancellation ->
                plan cancellation (EventText.lines "" (TimeSpan.FromDays 1.0))
                |> LearningRateFinder.run configuration net folder)
        else
            let finished =
                Outcome.untilInterrupted (isKept folder) (fun cancellation ->
                    try
                        Show.progress ranks (args.Has Options.Run.jsonLog) (fun watch ->
                            plan cancellation watch |> stages configuration net)
                    with :? DeadlineException ->
                        raise (TimeLimitException(timeIsUp folder)))

            if isShown then
                TrainResult.print folder dataset.Classes.Length finished

    /// The configuration that a run would have.
    let private resolved (args: Arguments) =
        if args.Has Options.Run.resume then
            let configuration, _, _ = ResumedRun.read args (folder args None)
            configuration
        else
            let args, _ = OwnImages.withInit args
            let configuration = TrainSettings.resolve args
            requireNetworks configuration
            fst (OwnImages.resolve args configuration)

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) =
        if args.Has Options.Run.printConfig then
            Output.line (ConfigurationFile.write (resolved args |> onThisProcessor))
        else
            Job.run
                (args.TryGet Options.Execution.rankTimeout |> Option.map TimeSpan.FromSeconds)
                (train args (deadline args))
