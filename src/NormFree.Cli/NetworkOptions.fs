namespace NormFree.Cli

open NormFree.Data
open NormFree.Formats
open NormFree.Runs
open NormFree.Spec
open NormFree.Networks
open NormFree.Torch.Native

/// <summary>Data sets from the command line.</summary>
[<RequireQualifiedAccess>]
module internal Images =

    /// How the files of the data set are read.
    let options (args: Arguments) : DatasetOptions =
        { Catalogue.defaults with
            Emnist = args.TryGet Options.Data.emnistSplit
            ClassNames = args.TryGet Options.Data.classNames
            Folder =
                { ImageFolder.defaults with
                    TrainSplit = args.TryGet Options.Data.trainSplit
                    TestSplit = args.TryGet Options.Data.testSplit
                    AllowLeftOut = args.Has Options.Data.allowLeftOut } }

    /// The same for commands that read no training images.
    let withoutTraining (options: DatasetOptions) =
        { options with Folder = { options.Folder with RequireReadable = false } }

    /// The same for commands that need no test images.
    let withoutTest (options: DatasetOptions) = { options with Folder = { options.Folder with TestOptional = true } }

    /// Prints what the data set left out or assumed.
    let warn (dataset: Dataset) = dataset.Notes |> List.iter Output.warn

    /// Options that a kind of data set does not use are errors.
    let private requireUsed kind (options: DatasetOptions) =
        let namesSplits = options.Folder.TrainSplit.IsSome || options.Folder.TestSplit.IsSome

        match kind with
        | DatasetKind.Mnist
        | DatasetKind.FashionMnist
        | DatasetKind.Emnist
        | DatasetKind.Synthetic when namesSplits ->
            raise (
                UsageException
                    "--train-split and --test-split are for class folders and Parquet files: omit them, or choose --dataset folder."
            )
        | DatasetKind.Emnist -> ()
        | _ when options.Emnist.IsSome -> raise (UsageException "--emnist-split is for --dataset emnist: omit it.")
        | _ -> ()

    /// Opens the data set, or throws with every problem.
    let load kind path options =
        requireUsed kind options

        if kind = DatasetKind.Synthetic && Option.isSome path then
            raise (
                UsageException
                    "--data is not for --dataset synthetic, which needs no files: name the data set with --dataset."
            )

        match Catalogue.load kind path options with
        | Ok dataset -> dataset
        | Error errors -> raise (DataException(errors |> List.map string |> String.concat "\n"))

/// <summary>What options change in a binary network. None keeps what the network has.</summary>
type internal NetworkChoices =
    { Norm: Norm option
      Shortcut: WeightBinariser option
      Sign: SignGradient option
      Slopes: SlopeKind option }

/// <summary>Networks from the command line.</summary>
[<RequireQualifiedAccess>]
module internal NetworkOptions =

    /// The stem that suits the image size, unless one is given.
    let stem (given: StemKind option) size =
        given |> Option.defaultWith (fun () -> if size <= Image.SmallSide then CifarStem else ImageNetStem)

    /// The network of a table.
    let named (architecture: string) (size: Size) stem : NetSpec =
        match Architecture.tryFind architecture with
        | Some table -> table size stem
        | None ->
            let known = List.map fst Architecture.all
            let hint, list = Suggestion.didYouMean known architecture, String.concat ", " known
            raise (UsageException $"there is no architecture {Quoted.Name architecture}: choose one of {list}.{hint}")

    /// The network, or an error if an option was given for layers that it does not have.
    let requireBinary (given: (string * bool) list) (net: NetSpec) =
        let has (option: Opt<'T>) = List.contains (option.Spec.Name, true) given

        match List.tryFind snd given, Net.tryBinary net with
        | Some(name, _), None ->
            raise (UsageException $"{name} is not for {net.Name}, a full-precision network: omit it.")
        | _ when has Options.Network.shortcut && List.forall (Blocks.projection >> Option.isNone) net.Blocks ->
            raise (UsageException $"--shortcut is not for {net.Name}, whose shortcuts have no convolutions: omit it.")
        | _ when has Options.Network.slopes && not (Net.hasRPReLU net) ->
            raise (UsageException $"--slopes is not for {net.Name}, which has no RPReLU: omit it.")
        | _ -> net

    let private given (args: Arguments) (option: Opt<'T>) = option.Spec.Name, args.Has option

    /// The options for binary layers, and whether they are given.
    let binaryOptions (args: Arguments) =
        [ given args Options.Network.norm
          given args Options.Network.binarise
          given args Options.Network.shortcut
          given args Options.Network.estimator
          given args Options.Network.slopes ]

    /// The choices of the options.
    let choices (args: Arguments) : NetworkChoices =
        { Norm = args.TryGet Options.Network.norm
          Shortcut = args.TryGet Options.Network.shortcut
          Sign = args.TryGet Options.Network.estimator
          Slopes = args.TryGet Options.Network.slopes }

    /// The network with these choices. A full-precision network has no norm to choose.
    let withChoices (choices: NetworkChoices) (net: NetSpec) =
        let change (apply: 'choice -> NetSpec -> NetSpec) choice net =
            choice |> Option.fold (fun net value -> apply value net) net

        net
        |> change Net.withNorm (choices.Norm |> Option.filter (fun _ -> Net.isBinary net))
        |> change Net.withShortcutWeights choices.Shortcut
        |> change Net.withSign choices.Sign
        |> change Net.withSlopes choices.Slopes

    /// The options that choose and scale a table.
    let private tableOptions (args: Arguments) =
        [ given args Options.Network.arch
          given args Options.Network.stem
          given args Options.Network.width
          given args Options.Network.depth ]

    /// Whether an option describes the network.
    let describes (args: Arguments) =
        args.Has Options.Network.networkFile || List.exists snd (tableOptions args @ binaryOptions args)

    /// Whether an option names a table or scales it.
    let namesTable (args: Arguments) = tableOptions args |> List.exists snd

    /// The network of --network, if it is given.
    let ofFile (args: Arguments) : NetSpec option =
        args.TryGet Options.Network.networkFile
        |> Option.map (fun path ->
            match tableOptions args |> List.filter snd with
            | [] -> NetworkJson.read path |> requireBinary (binaryOptions args)
            | given ->
                let names = given |> List.map fst |> String.concat ", "
                raise (UsageException $"--network has its own architecture: omit {names}, or change the file."))

    /// The network of the table that the options name, for images of that size.
    let ofTable (args: Arguments) (arch: string) imageSize classes : NetSpec =
        let size = { Width = args.Get Options.Network.width; Depth = args.Get Options.Network.depth }

        named arch size (stem (args.TryGet Options.Network.stem) imageSize)
        |> Net.withClasses classes
        |> requireBinary (binaryOptions args)
        |> withChoices { choices args with Norm = Some(args.Get Options.Network.norm) }

    /// The network that the options describe, for images of that size. A file's network keeps what no option changes.
    let described (args: Arguments) (arch: Opt<string>) imageSize classes : NetSpec =
        match ofFile args with
        | Some net ->
            net
            |> Net.withClasses (if args.Has Options.Network.classes then classes else net.Classes)
            |> withChoices (choices args)
        | None -> ofTable args (args.Get arch) imageSize classes

    /// The recipe that a name stands for.
    let recipe name : Recipe =
        match name with
        | PublishedRecipe -> Recipe.published
        | CorrectedRecipe -> Recipe.corrected
        | AbBnnRecipe -> Recipe.abBnn

    /// bf16 becomes float32, with a warning, where it would be slower.
    let private faster precision =
        match precision with
        | BFloat16 when not TorchNative.HasFastBFloat16 ->
            Output.warn
                "bf16 would be slower than float32 on this processor, which has no instructions for it or reports no caches: float32 is used."

            Float32
        | precision -> precision

    /// The execution, or an error if the engine and the precision do not fit.
    let execution (device: Device) engine precision : Execution =
        let execution: Execution = { Engine = engine; Precision = precision }

        match execution.On(device.Type, TorchSharp.torch.ScalarType.Float32) with
        | Ok _ -> { execution with Precision = faster precision }
        | Error problem -> raise (UsageException problem)

    /// Sets the number of threads if one is given.
    let useThreads (threads: int option) =
        match threads with
        | None -> ()
        | Some threads ->
            TorchNative.Ensure()
            TorchSharp.torch.set_num_threads threads
