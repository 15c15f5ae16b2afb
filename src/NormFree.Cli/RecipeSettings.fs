namespace NormFree.Cli

open NormFree.Runs

/// <summary>The recipes of a training: those that a name stands for, changed by options.</summary>
module internal RecipeSettings =

    /// The value of an option if it was given, or another one.
    let orElse (args: Arguments) (value: 'T) (option: Opt<'T>) = args.TryGet option |> Option.defaultValue value

    /// The value of an option if it was given, or another one, which may be missing.
    let orOption (args: Arguments) (value: 'T option) (option: Opt<'T>) = args.TryGet option |> Option.orElse value

    let private defaultRate =
        match Opt.defaultValue Options.Recipe.learningRate with
        | FixedRate rate -> rate
        | FindRate -> invalidOp "a default is a number"

    /// The recipes of stage 1 and stage 2 that a name stands for. The corrected one has a budget for a first try.
    let recipesOf name : Recipe * Recipe =
        let second = NetworkOptions.recipe name
        let withDecay decay (recipe: Recipe) = { recipe with WeightDecay = decay }

        match name with
        | PublishedRecipe -> withDecay (Opt.defaultValue Options.Recipe.weightDecay) second, second
        | AbBnnRecipe -> Recipe.abBnnStage1, second
        | CorrectedRecipe ->
            let second =
                { second with
                    Epochs = Opt.defaultValue Options.Recipe.epochs
                    Batch = Opt.defaultValue Options.Recipe.batch
                    LearningRate = defaultRate }

            withDecay (Opt.defaultValue Options.Recipe.weightDecay) second, second

    let private loss (args: Arguments) (before: Loss) =
        match args.TryGet Options.Recipe.loss, args.TryGet Options.Recipe.teacher, before with
        | None, None, before -> before
        | (Some DistillationLoss | None), Some teacher, Distillation _
        | Some DistillationLoss, Some teacher, _ -> Distillation teacher
        | Some DistillationLoss, None, Distillation teacher -> Distillation teacher
        | Some DistillationLoss, None, _ -> raise (UsageException "--loss kd needs --teacher FILE.")
        | _, Some _, _ -> raise (UsageException "--teacher is for --loss kd only.")
        | Some CrossEntropyLoss, None, _ -> CrossEntropy
        | Some(LabelSmoothingLoss epsilon), None, _ -> LabelSmoothing epsilon

    /// A recipe with the options that are given, apart from the weight decay.
    let recipe (args: Arguments) (recipe: Recipe) : Recipe =
        { recipe with
            Epochs = Options.Recipe.epochs |> orElse args recipe.Epochs
            Batch = Options.Recipe.batch |> orElse args recipe.Batch
            LearningRate =
                match args.TryGet Options.Recipe.learningRate with
                | Some(FixedRate rate) -> rate
                | Some FindRate
                | None -> recipe.LearningRate
            Optimiser = Options.Recipe.optimiser |> orElse args recipe.Optimiser
            Schedule = Options.Recipe.schedule |> orElse args recipe.Schedule
            WarmUp = Options.Recipe.warmUp |> orElse args recipe.WarmUp
            Clip = Options.Recipe.clip |> orElse args recipe.Clip
            Initialisation = Options.Recipe.initialisation |> orElse args recipe.Initialisation
            Remeasure = if args.Has Options.Recipe.remeasure then Some true else recipe.Remeasure
            WeightAverage =
                Options.Recipe.weightAverage
                |> orOption args recipe.WeightAverage
                |> Option.filter (fun decay -> decay > 0.0)
            Loss = loss args recipe.Loss
            HeldOut = Options.Data.heldOut |> orElse args recipe.HeldOut
            Seed = Options.Recipe.seed |> orElse args recipe.Seed }

    /// The recipe of stage 1, which alone has a weight decay.
    let firstRecipe (args: Arguments) (basis: Recipe) =
        { recipe args basis with WeightDecay = Options.Recipe.weightDecay |> orElse args basis.WeightDecay }
