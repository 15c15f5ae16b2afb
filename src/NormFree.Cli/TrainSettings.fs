namespace NormFree.Cli

open NormFree.Data
open NormFree.Runs
open NormFree.Spec

/// <summary>The configuration of a training: defaults, then a file, then options.</summary>
[<RequireQualifiedAccess>]
module internal TrainSettings =

    /// The recipes of stage 1 and stage 2 that a name stands for. The corrected one has a budget for a first try.
    let private recipesOf name : Recipe * Recipe =
        let second =
            match name with
            | PublishedRecipe -> Recipe.published
            | CorrectedRecipe ->
                { Recipe.corrected with
                    Epochs = Opt.defaultValue Options.epochs
                    Batch = Opt.defaultValue Options.batch
                    LearningRate = Opt.defaultValue Options.learningRate }

        { second with WeightDecay = Opt.defaultValue Options.weightDecay }, second

    /// What holds without a file and without options.
    let private defaults (args: Arguments) : RunConfiguration =
        let first, second = recipesOf (args.Get Options.recipe)

        { Network =
            { Architecture = args.Get Options.arch
              Norm = Some(Opt.defaultValue Options.norm)
              Shortcut = None
              Stem = None
              Width = Some 1.0
              Depth = Some 1.0
              Spec = None }
          Dataset =
            { Kind = Some(Opt.defaultValue Options.dataset)
              Path = None
              Size = None
              Limit = None
              TestLimit = None
              TrainSplit = None
              TestSplit = None
              EmnistSplit = None
              ClassNames = None
              AllowLeftOut = None }
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
              Keep = Opt.defaultValue Options.keep
              CheckpointEvery = Opt.defaultValue Options.checkpointEvery
              OnNonFinite = Opt.defaultValue Options.onNonFinite
              Telemetry = Opt.defaultValue Options.telemetry
              Accumulate = Opt.defaultValue Options.accumulate }
          Facts = None
          Environment = None
          Changes = [] }

    /// The value of an option if it was given, or another one.
    let private orElse (args: Arguments) (value: 'T) (option: Opt<'T>) = args.TryGet option |> Option.defaultValue value

    let private orOption (args: Arguments) (value: 'T option) (option: Opt<'T>) =
        args.TryGet option |> Option.orElse value

    let private loss (args: Arguments) (before: Loss) =
        match args.TryGet Options.loss, args.TryGet Options.teacher, before with
        | None, None, before -> before
        | (Some DistillationLoss | None), Some teacher, Distillation _
        | Some DistillationLoss, Some teacher, _ -> Distillation teacher
        | Some DistillationLoss, None, Distillation teacher -> Distillation teacher
        | Some DistillationLoss, None, _ -> raise (UsageException "--loss kd needs --teacher FILE.")
        | _, Some _, _ -> raise (UsageException "--teacher is for --loss kd only.")
        | Some CrossEntropyLoss, None, _ -> CrossEntropy
        | Some(LabelSmoothingLoss epsilon), None, _ -> LabelSmoothing epsilon

    let private recipe (args: Arguments) (recipe: Recipe) : Recipe =
        { recipe with
            Epochs = Options.epochs |> orElse args recipe.Epochs
            Batch = Options.batch |> orElse args recipe.Batch
            LearningRate = Options.learningRate |> orElse args recipe.LearningRate
            Optimiser = Options.optimiser |> orElse args recipe.Optimiser
            Schedule = Options.schedule |> orElse args recipe.Schedule
            WarmUp = Options.warmUp |> orElse args recipe.WarmUp
            Clip = Options.clip |> orElse args recipe.Clip
            Initialisation = Options.initialisation |> orElse args recipe.Initialisation
            Loss = loss args recipe.Loss
            HeldOut = Options.heldOut |> orElse args recipe.HeldOut
            Seed = Options.seed |> orElse args recipe.Seed }

    /// The recipe of stage 1, which alone has a weight decay.
    let private firstRecipe (args: Arguments) (basis: Recipe) =
        { recipe args basis with WeightDecay = Options.weightDecay |> orElse args basis.WeightDecay }

    let private network (args: Arguments) (before: NetworkConfiguration) : NetworkConfiguration =
        // Another table replaces a network of the configuration's file.
        let spec =
            NetworkOptions.ofFile args |> Option.orElse (if args.Has Options.arch then None else before.Spec)

        let architecture =
            match spec with
            | Some net -> net.Name
            | None when args.Has Options.arch -> args.Get Options.arch
            | None -> before.Architecture

        let net =
            spec
            |> Option.defaultWith (fun () -> NetworkOptions.named architecture Size.Full CifarStem)
            |> NetworkOptions.requireBinary (NetworkOptions.binaryOptions args)

        let norm =
            match args.TryGet Options.norm, spec with
            | Some norm, _ -> Some norm
            | None, Some net -> Some net.Norm
            | None, None -> before.Norm |> Option.orElse (Some(Opt.defaultValue Options.norm))

        { Architecture = architecture
          // Full-precision networks have no such setting.
          Norm = if Net.isBinary net then norm else None
          Shortcut = Options.shortcut |> orOption args before.Shortcut
          Stem = Options.stem |> orOption args before.Stem
          Width = Options.width |> orOption args before.Width
          Depth = Options.depth |> orOption args before.Depth
          Spec = spec }

    let private dataset (args: Arguments) (before: DatasetConfiguration) : DatasetConfiguration =
        { Kind = Options.dataset |> orOption args before.Kind
          // Another data set is not at the path of the file's.
          Path = Options.dataPath |> orOption args (if args.Has Options.dataset then None else before.Path)
          Size = Options.size |> orOption args before.Size
          Limit = Options.limit |> orOption args before.Limit
          TestLimit = Options.testLimit |> orOption args before.TestLimit
          TrainSplit = Options.trainSplit |> orOption args before.TrainSplit
          TestSplit = Options.testSplit |> orOption args before.TestSplit
          EmnistSplit = Options.emnistSplit |> orOption args before.EmnistSplit
          ClassNames = Options.classNames |> orOption args before.ClassNames
          AllowLeftOut = if args.Has Options.allowLeftOut then Some true else before.AllowLeftOut }

    /// <summary>How the work is done: as before, but for the options that are given.</summary>
    let execution (args: Arguments) (before: ExecutionConfiguration) : ExecutionConfiguration =
        { Device = Options.device |> orElse args before.Device
          Engine = Options.engine |> orElse args before.Engine
          Precision = Options.precision |> orElse args before.Precision
          Threads = Options.threads |> orOption args before.Threads
          Workers = Options.workers |> orOption args before.Workers
          Strict = before.Strict || args.Has Options.strict
          Keep = Options.keep |> orElse args before.Keep
          CheckpointEvery = Options.checkpointEvery |> orElse args before.CheckpointEvery
          OnNonFinite = Options.onNonFinite |> orElse args before.OnNonFinite
          Telemetry = Options.telemetry |> orElse args before.Telemetry
          Accumulate = Options.accumulate |> orElse args before.Accumulate }

    /// The recipes of the stages that are trained. A checkpoint to start from replaces stage 1 if there is a stage 2.
    let private stages (args: Arguments) isBinary (before: RunConfiguration) =
        let standard1, standard2 = recipesOf (args.Get Options.recipe)
        let replaces = args.Has Options.recipe
        let basis standard (recipe: Recipe option) = if replaces then standard else defaultArg recipe standard
        let first = basis standard1 before.Stage1 |> firstRecipe args
        let second = basis standard2 before.Stage2 |> recipe args
        let hasInit = args.Has Options.init

        match args.TryGet Options.binarise with
        | _ when not isBinary -> Some first, None
        | Some Activations -> Some first, None
        | Some ActivationsAndWeights when hasInit -> None, Some second
        | Some ActivationsAndWeights -> Some first, Some second
        | None when hasInit && before.Stage2.IsSome -> None, Some second
        | None -> before.Stage1 |> Option.map (fun _ -> first), before.Stage2 |> Option.map (fun _ -> second)

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
            match args.TryGet Options.config with
            | Some path -> fromFile path (defaults args)
            | None -> defaults args

        let network = network args basis.Network
        let stage1, stage2 = stages args network.Norm.IsSome basis

        valid
            { basis with
                Network = network
                Dataset = dataset args basis.Dataset
                Stage1 = stage1
                Stage2 = stage2
                Init = Options.init |> orOption args basis.Init
                Execution = execution args basis.Execution }

    /// <summary>The norm as <c>--norm</c> takes it; empty for full-precision networks.</summary>
    let normText (network: NetworkConfiguration) =
        match network.Norm with
        | Some(BnFree alpha | Scaled alpha as norm) when alpha <> 0.2 -> $"{Names.norm norm}:{alpha}"
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
