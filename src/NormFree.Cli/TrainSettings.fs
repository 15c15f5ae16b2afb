namespace NormFree.Cli

open NormFree.Data
open NormFree.Runs
open NormFree.Spec
open NormFree.Cli.RecipeSettings

/// <summary>The configuration of a training: defaults, then a file, then options.</summary>
[<RequireQualifiedAccess>]
module internal TrainSettings =

    /// What holds without a file and without options.
    let private defaults (args: Arguments) : RunConfiguration =
        let first, second = recipesOf (args.Get Options.Recipe.recipe)

        { Network =
            { NetworkConfiguration.Of(args.Get Options.Network.arch) with
                Norm = Some(Opt.defaultValue Options.Network.norm)
                Width = Some 1.0
                Depth = Some 1.0 }
          Dataset = { DatasetConfiguration.Empty with Kind = Some(Opt.defaultValue Options.Data.dataset) }
          Stage1 = Some first
          Stage2 = Some second
          Init = None
          Execution =
            { Device = Cpu
              Engine = Fused
              Precision = Float32
              Threads = None
              Workers = None
              Strict = false
              Keep = Opt.defaultValue Options.Run.keep
              CheckpointEvery = Opt.defaultValue Options.Run.checkpointEvery
              OnNonFinite = Opt.defaultValue Options.Run.onNonFinite
              Telemetry = Opt.defaultValue Options.Run.telemetry
              Accumulate = Opt.defaultValue Options.Execution.accumulate }
          Facts = None
          Environment = None
          Changes = [] }

    /// The network of --init, unless an option or a file describes another.
    let private ofInit (args: Arguments) : NetSpec option =
        if NetworkOptions.namesTable args || args.Has Options.Run.config then
            None
        else
            InitialNetwork.given args
            |> Option.bind InitialNetwork.trySpec
            |> Option.map (NetworkOptions.requireBinary (NetworkOptions.binaryOptions args))

    /// The form of the network that the recipe is made for, and what it adds to the augmentation.
    let private recipeForm (args: Arguments) : NetworkChoices * ExtraAugment list option =
        match args.TryGet Options.Recipe.recipe with
        | Some AbBnnRecipe ->
            { Norm = Some AbBnn.norm; Shortcut = None; Sign = Some AbBnn.sign; Slopes = Some AbBnn.slopes },
            Some [ Reflect ]
        | Some PublishedRecipe
        | Some CorrectedRecipe
        | None -> { Norm = None; Shortcut = None; Sign = None; Slopes = None }, None

    let private network (args: Arguments) (before: NetworkConfiguration) : NetworkConfiguration =
        // Another table replaces a network of the configuration's file.
        let spec =
            NetworkOptions.ofFile args
            |> Option.orElse (ofInit args)
            |> Option.orElse (if args.Has Options.Network.arch then None else before.Spec)

        let architecture =
            match spec with
            | Some net -> net.Name
            | None when args.Has Options.Network.arch -> args.Get Options.Network.arch
            | None -> before.Architecture

        let net =
            spec
            |> Option.defaultWith (fun () -> NetworkOptions.named architecture Size.Full CifarStem)
            |> NetworkOptions.requireBinary (NetworkOptions.binaryOptions args)

        let form, _ = recipeForm args

        let norm =
            match args.TryGet Options.Network.norm |> Option.orElse form.Norm, spec with
            | Some norm, _ -> Some norm
            | None, Some net -> Some net.Norm
            | None, None -> before.Norm |> Option.orElse (Some(Opt.defaultValue Options.Network.norm))

        { Architecture = architecture
          // Full-precision networks have no such setting.
          Norm = if Net.isBinary net then norm else None
          Shortcut = Options.Network.shortcut |> orOption args before.Shortcut
          Sign = Options.Network.estimator |> orOption args (form.Sign |> Option.orElse before.Sign)
          Slopes = Options.Network.slopes |> orOption args (form.Slopes |> Option.orElse before.Slopes)
          Stem = Options.Network.stem |> orOption args before.Stem
          Width = Options.Network.width |> orOption args before.Width
          Depth = Options.Network.depth |> orOption args before.Depth
          Spec = spec }

    let private dataset (args: Arguments) (before: DatasetConfiguration) : DatasetConfiguration =
        { Kind = Options.Data.dataset |> orOption args before.Kind
          // Another data set is not at the path of the file's.
          Path = Options.Data.dataPath |> orOption args (if args.Has Options.Data.dataset then None else before.Path)
          Size = Options.Data.size |> orOption args before.Size
          Limit = Options.Data.limit |> orOption args before.Limit
          TestLimit = Options.Data.testLimit |> orOption args before.TestLimit
          TrainSplit = Options.Data.trainSplit |> orOption args before.TrainSplit
          TestSplit = Options.Data.testSplit |> orOption args before.TestSplit
          EmnistSplit = Options.Data.emnistSplit |> orOption args before.EmnistSplit
          ClassNames = Options.Data.classNames |> orOption args before.ClassNames
          Preprocessing = before.Preprocessing
          Normalisation = Options.Data.normalisation |> orOption args before.Normalisation
          Augment = Options.Data.augment |> orOption args (snd (recipeForm args) |> Option.orElse before.Augment)
          AllowLeftOut = if args.Has Options.Data.allowLeftOut then Some true else before.AllowLeftOut }

    /// <summary>How the work is done: as before, but for the options that are given.</summary>
    let execution (args: Arguments) (before: ExecutionConfiguration) : ExecutionConfiguration =
        { Device = Options.Execution.device |> orElse args before.Device
          Engine = Options.Execution.engine |> orElse args before.Engine
          Precision = Options.Execution.precision |> orElse args before.Precision
          Threads = Options.Execution.threads |> orOption args before.Threads
          Workers = Options.Execution.workers |> orOption args before.Workers
          Strict = before.Strict || args.Has Options.Data.strict
          Keep = Options.Run.keep |> orElse args before.Keep
          CheckpointEvery = Options.Run.checkpointEvery |> orElse args before.CheckpointEvery
          OnNonFinite = Options.Run.onNonFinite |> orElse args before.OnNonFinite
          Telemetry = Options.Run.telemetry |> orElse args before.Telemetry
          Accumulate = Options.Execution.accumulate |> orElse args before.Accumulate }

    /// The recipes of the stages that are trained. A checkpoint to start from replaces stage 1 if there is a stage 2.
    let private stages (args: Arguments) isBinary (before: RunConfiguration) =
        let standard1, standard2 = recipesOf (args.Get Options.Recipe.recipe)
        let replaces = args.Has Options.Recipe.recipe
        let basis standard (recipe: Recipe option) = if replaces then standard else defaultArg recipe standard
        let first = basis standard1 before.Stage1 |> firstRecipe args
        let second = basis standard2 before.Stage2 |> recipe args
        let hasInit = (InitialNetwork.given args).IsSome

        match args.TryGet Options.Network.binarise with
        | _ when not isBinary -> Some first, None
        | Some Activations -> Some first, None
        | Some ActivationsAndWeights when hasInit -> None, Some second
        | Some ActivationsAndWeights -> Some first, Some second
        | None when hasInit && before.Stage2.IsSome -> None, Some second
        | None -> before.Stage1 |> Option.map (fun _ -> first), before.Stage2 |> Option.map (fun _ -> second)

    /// The size to which --resize brings the shorter side before the centre crop.
    let private resized (args: Arguments) (dataset: DatasetConfiguration) =
        match args.TryGet Options.Data.resize, dataset.Size with
        | None, _ -> dataset
        | Some side, Some size -> { dataset with Preprocessing = Some [ ResizeShort side; CentreCrop size ] }
        | Some _, None -> raise (UsageException "--resize needs --size: it crops the centre of that size.")

    /// The recipes with --freeze in the first stage that is trained.
    let private frozen (args: Arguments) (init: string option) (first: Recipe option, second: Recipe option) =
        let freeze (recipe: Recipe) =
            { recipe with Freeze = args.TryGet Options.Run.freeze |> Option.defaultValue recipe.Freeze }

        match args.TryGet Options.Run.freeze, init with
        | Some epochs, None when epochs > 0 ->
            raise (
                UsageException
                    "--freeze needs --init: it keeps the weights of a trained network, and random weights are of no use."
            )
        | _ ->
            match first with
            | Some first -> Some(freeze first), second
            | None -> None, Option.map freeze second

    /// Shortcut weights that are given, or those of a network that has binary weights already, are kept as they are.
    let private keepsShortcuts (network: NetworkConfiguration) =
        let isBinary (net: NetSpec) = net.Binarise = ActivationsAndWeights
        network.Shortcut.IsSome || network.Spec |> Option.exists isBinary

    let private withShortcuts (network: NetworkConfiguration) (recipe: Recipe) =
        if keepsShortcuts network then
            { recipe with Deviations = { recipe.Deviations with ShortcutWeights = Rule.Published } }
        else
            recipe

    let private valid (configuration: RunConfiguration) =
        match RunConfiguration.problems configuration with
        | [] -> configuration
        | problems -> raise (UsageException(String.concat "\n" problems))

    /// Options warn when they are parsed; numbers of a file are seen here.
    let private warnOfThreads (configuration: RunConfiguration) =
        for name, count in
            [ "Execution.Threads", configuration.Execution.Threads
              "Execution.Workers", configuration.Execution.Workers ] do
            count |> Option.bind (Limits.threadWarning name) |> Option.iter Output.warn

    let private fromFile path defaults =
        match ConfigurationFile.read path defaults with
        | Ok configuration ->
            warnOfThreads configuration
            configuration
        | Error problems -> raise (UsageException(String.concat "\n" problems))

    /// <summary>The configuration that the options and their file describe.</summary>
    let resolve (args: Arguments) : RunConfiguration =
        let basis =
            match args.TryGet Options.Run.config with
            | Some path -> fromFile path (defaults args)
            | None -> defaults args

        let network = network args basis.Network
        let init = if args.Has Options.Run.init then InitialNetwork.given args else basis.Init
        let stage1, stage2 = stages args network.Norm.IsSome basis |> frozen args init

        valid
            { basis with
                Network = network
                Dataset = dataset args basis.Dataset |> resized args
                Stage1 = stage1 |> Option.map (withShortcuts network)
                Stage2 = stage2 |> Option.map (withShortcuts network)
                Init = init
                Execution = execution args basis.Execution }

    /// <summary>The norm as <c>--norm</c> takes it; empty for full-precision networks.</summary>
    let normText (network: NetworkConfiguration) =
        match network.Norm with
        | Some(BnFree alpha | Scaled alpha as norm) when alpha <> Defaults.Alpha -> $"{Names.norm norm}:{alpha}"
        | Some norm -> Names.norm norm
        | None -> ""

    /// <summary>How the data set is opened.</summary>
    let datasetOptions (configuration: RunConfiguration) : DatasetOptions =
        let recipe = configuration.Stage1 |> Option.orElse configuration.Stage2

        let dataset = configuration.Dataset

        { Catalogue.defaults with
            Size = dataset.Size
            Limit = dataset.Limit
            TestLimit = dataset.TestLimit
            Emnist = dataset.EmnistSplit
            ClassNames = dataset.ClassNames
            Folder =
                { ImageFolder.defaults with
                    TrainSplit = dataset.TrainSplit
                    TestSplit = dataset.TestSplit
                    AllowLeftOut = defaultArg dataset.AllowLeftOut false }
            HeldOut =
                recipe
                |> Option.filter (fun recipe -> recipe.HeldOut > 0.0)
                |> Option.map (fun recipe -> recipe.HeldOut, recipe.Seed)
            Lighting =
                match recipe |> Option.map _.Deviations.Lighting with
                | Some Rule.Published -> LightingMode.Published
                | Some Rule.Corrected
                | None -> LightingMode.Corrected }
