namespace NormFree.Cli

open NormFree.Data
open NormFree.Runs

/// <summary>Defaults that depend on the images: those of <c>--dataset folder</c>, and those of a network to start from.</summary>
[<RequireQualifiedAccess>]
module internal OwnImages =

    /// Images that are decoded to find the median size.
    let private probes = 16

    /// The shorter side of the median image; that of the data set's input if no image can be read.
    let private shortSide (dataset: Dataset) =
        [| for i in ImageSource.spread probes dataset.Train do
               match dataset.Train.Load i with
               | Ok image -> min image.Width image.Height
               | Error _ -> () |]
        |> Array.sort
        |> fun sides -> if sides.Length = 0 then dataset.Size else sides[sides.Length / 2]

    let private recipes edit (configuration: RunConfiguration) =
        { configuration with
            Stage1 = Option.map edit configuration.Stage1
            Stage2 = Option.map edit configuration.Stage2 }

    let private firstRecipe (configuration: RunConfiguration) =
        configuration.Stage1 |> Option.orElse configuration.Stage2 |> Option.get

    /// A fifth of the images is held out if there are no others to choose the best epoch on.
    let private holdOut (args: Arguments) (dataset: Dataset) (configuration: RunConfiguration) =
        let recipe = firstRecipe configuration

        if dataset.Test.Count > 0 || recipe.HeldOut > 0.0 || args.Has Options.Data.heldOut then
            configuration
        else
            configuration |> recipes (fun (recipe: Recipe) -> { recipe with HeldOut = ImageDefaults.heldOut })

    let private statistics (dataset: Dataset) (configuration: RunConfiguration) : ImageStatistics =
        let recipe = firstRecipe configuration
        let kept, _ = ImageSource.split recipe.HeldOut recipe.Seed dataset.Train
        { Images = kept.Count; ShortSide = shortSide dataset }

    /// The defaults of the settings that no option chose: the option of each as text, and the change of the configuration.
    let private free (args: Arguments) (dataset: Dataset) (configuration: RunConfiguration) =
        let chosen = ImageDefaults.choose (statistics dataset configuration)
        let isFree (option: Opt<'T>) = not (args.Has option)
        let ofRecipe (edit: Recipe -> Recipe) = recipes edit

        let ofNetwork (edit: NetworkConfiguration -> NetworkConfiguration) (configuration: RunConfiguration) =
            { configuration with Network = edit configuration.Network }

        let ofDataset (edit: DatasetConfiguration -> DatasetConfiguration) (configuration: RunConfiguration) =
            { configuration with Dataset = edit configuration.Dataset }

        [ // Small images and networks to start from have a size of their own.
          if configuration.Dataset.Size.IsNone && dataset.Size > Image.SmallSide then
              $"--size {chosen.Size}", ofDataset (fun dataset -> { dataset with Size = Some chosen.Size })
          if configuration.Network.Spec.IsNone && isFree Options.Network.width && isFree Options.Network.arch then
              $"--width {chosen.Width}", ofNetwork (fun network -> { network with Width = Some chosen.Width })
          if isFree Options.Recipe.batch then
              $"--batch {chosen.Batch}", ofRecipe (fun recipe -> { recipe with Batch = chosen.Batch })
          if isFree Options.Recipe.learningRate then
              $"--lr {chosen.LearningRate}", ofRecipe (fun recipe -> { recipe with LearningRate = chosen.LearningRate })
          if isFree Options.Recipe.epochs then
              let epochs = max chosen.Epochs (int (ceil (firstRecipe configuration).WarmUp))
              $"--epochs {epochs}", ofRecipe (fun recipe -> { recipe with Epochs = epochs })
          if chosen.CutMix && isFree Options.Data.augment then
              "--augment cutmix", ofDataset (fun dataset -> { dataset with Augment = Some [ WithCutMix 1.0 ] })
          match chosen.WeightAverage with
          | Some decay when isFree Options.Recipe.weightAverage ->
              $"--ema {decay}", ofRecipe (fun recipe -> { recipe with WeightAverage = Some decay })
          | _ -> ()
          if isFree Options.Recipe.schedule then
              $"--schedule {(Json.name chosen.Schedule).ToLowerInvariant()}",
              ofRecipe (fun recipe -> { recipe with Schedule = chosen.Schedule }) ]

    /// The configuration with these defaults, and their options as text.
    let private fill (args: Arguments) (dataset: Dataset) (configuration: RunConfiguration) =
        let defaults = free args dataset configuration
        let heldOut = (firstRecipe configuration).HeldOut

        (configuration, defaults) ||> List.fold (fun configuration (_, change) -> change configuration),
        List.map fst defaults
        @ [ if heldOut > 0.0 && not (args.Has Options.Data.heldOut) then
                $"--held-out {heldOut}" ]

    /// Only the tool's own recipe has defaults by the images; a configuration file and the published recipe are complete.
    let private hasDefaults (args: Arguments) (configuration: RunConfiguration) =
        configuration.Dataset.Kind = Some DatasetKind.ImageFolder
        && not (args.Has Options.Run.config)
        && args.Get Options.Recipe.recipe = CorrectedRecipe

    let private load (configuration: RunConfiguration) =
        let kind = defaultArg configuration.Dataset.Kind DatasetKind.Synthetic

        Images.load kind configuration.Dataset.Path (Images.withoutTest (TrainSettings.datasetOptions configuration))

    /// The network of the zoo that suits few photographs.
    let private zooNetwork = "zoo:cifar10-reactnet18"

    /// <summary>The arguments with <c>--init</c> for few images of which nothing else is said, and a note for the user.</summary>
    /// <remarks>Throws DataException if the images cannot be read.</remarks>
    let withInit (args: Arguments) : Arguments * string list =
        let isOpen = not (args.Has Options.Run.init || NetworkOptions.describes args)
        let configuration = TrainSettings.resolve args

        if isOpen && hasDefaults args configuration then
            let dataset = load configuration
            let images = dataset.Train.Count

            if ImageDefaults.areFew images then
                let size =
                    if args.Has Options.Data.size || dataset.Size <= Image.SmallSide then
                        dataset.Size
                    else
                        ImageDefaults.size { Images = images; ShortSide = shortSide dataset }

                args.With(Options.Run.init, zooNetwork).With(Options.Data.size, string size),
                [ $"{images} images are few: training starts from {zooNetwork}, with {size}×{size} pixels (--init none starts from random weights)." ]
            else
                args, []
        else
            args, []

    /// The settings of the initial network's images.
    let private fromInit (configuration: RunConfiguration) =
        match configuration.Init with
        | None -> configuration, []
        | Some init ->
            let own = (load configuration).Augmentation.Test
            let dataset, said = InitialNetwork.preprocessing init own configuration.Dataset
            { configuration with Dataset = dataset }, Option.toList said

    /// <summary>The configuration of a new run with the defaults that suit its images, and notes for the user.</summary>
    /// <remarks>Throws DataException if the images cannot be read.</remarks>
    let resolve (args: Arguments) (configuration: RunConfiguration) : RunConfiguration * string list =
        let configuration, said = fromInit configuration

        if configuration.Dataset.Kind <> Some DatasetKind.ImageFolder then
            configuration, said
        else
            let dataset = load configuration
            let configuration = holdOut args dataset configuration

            if hasDefaults args configuration then
                let configuration, options = fill args dataset configuration
                let list = String.concat " " options

                configuration,
                said
                @ [ if not options.IsEmpty then
                        $"Defaults for {dataset.Train.Count} images of {dataset.Classes.Length} classes: {list}. Each of these options replaces its \
                          default." ]
            else
                configuration, said

    /// <summary>The data set as the configuration says, with its preprocessing.</summary>
    let dataset (configuration: RunConfiguration) : Dataset =
        let kind = defaultArg configuration.Dataset.Kind DatasetKind.Synthetic
        let dataset = Images.load kind configuration.Dataset.Path (TrainSettings.datasetOptions configuration)
        let given = configuration.Dataset

        { dataset with
            Normalisation = given.Normalisation |> Option.defaultValue dataset.Normalisation
            Augmentation =
                { dataset.Augmentation with
                    Test = given.Preprocessing |> Option.defaultValue dataset.Augmentation.Test }
                |> Augmentation.extend (defaultArg given.Augment []) }

    /// <summary>Warnings about a new run's images and steps. Throws DataException if a class of a folder has fewer than two images.</summary>
    let warnings (configuration: RunConfiguration) (dataset: Dataset) : string list =
        let recipe = firstRecipe configuration
        let images = (fst (ImageSource.split recipe.HeldOut recipe.Seed dataset.Train)).Count
        let steps = ImageDefaults.stepsPerEpoch images recipe.Batch
        let isFolder = configuration.Dataset.Kind = Some DatasetKind.ImageFolder

        if isFolder then
            ClassSizes.problem dataset |> Option.iter (fun problem -> raise (DataException(string problem)))

        [ if isFolder then
              yield! ClassSizes.warning ImageDefaults.minImagesPerClass dataset |> Option.toList
          if steps < ImageDefaults.minSteps && recipe.Batch > 1 then
              let unit = if steps = 1 then "step" else "steps"

              $"{images} training images in batches of {recipe.Batch} are {steps} {unit} per epoch, and fewer than {ImageDefaults.minSteps} train slowly: \
                choose a smaller --batch, or more --epochs." ]
