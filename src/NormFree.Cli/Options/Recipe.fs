/// Options of the recipe.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Recipe

open NormFree.Cli
open System
open NormFree.Runs
open NormFree.Spec

let private recipeGroup option = Opt.group "Recipe" option

let recipe =
    Opt.choice
        "--recipe"
        "NAME"
        [ "published", PublishedRecipe; "corrected", CorrectedRecipe; "ab-bnn", AbBnnRecipe ]
        "Rules of training."
    |> Opt.defaultsTo "corrected"
    |> recipeGroup

let epochs =
    Opt.whole "--epochs" "N" Limits.epochs "Epochs of each stage (256 with --recipe published)."
    |> Opt.defaultsTo "5"
    |> recipeGroup

let batch =
    Opt.whole "--batch" "N" Limits.batch "Images per step (256 with --recipe published)."
    |> Opt.defaultsTo "64"
    |> recipeGroup

let learningRate =
    Opt.custom
        "--lr"
        "X"
        ValueKind.Text
        $"a learning rate above 0 and up to {Limits.learningRate}, or find"
        "Learning rate (0.0005 with --recipe published); find tests rates and suggests one."
        (fun text ->
            match Opt.tryReal text with
            | Some value when value > 0.0 && value <= Limits.learningRate -> Some(FixedRate value)
            | _ when text = "find" -> Some FindRate
            | _ -> None)
    |> Opt.defaultsTo "0.001"
    |> recipeGroup

let weightDecay =
    Opt.real
        "--weight-decay"
        "X"
        $"a number from 0 to {Limits.weightDecay}"
        (Opt.between 0.0 Limits.weightDecay)
        "Weight decay of stage 1; stage 2 has none."
    |> Opt.defaultsTo (Defaults.Stage1WeightDecay.ToString "0e-0")
    |> recipeGroup

let optimiser =
    let tryParse text =
        match Opt.wordAndParameter text with
        | "adam", None -> Some(Ok Adam)
        | "adamw", None -> Some(Ok AdamW)
        | "adamp", None -> Some(Ok AdamP)
        | "sgd", None -> Some(Ok(Sgd 0.9))
        | "sgd", Some text ->
            let isMomentum value = value >= 0.0 && value < 1.0
            Some(Opt.parameter "--optimizer sgd" "a momentum from 0 to below 1" isMomentum text Sgd)
        | _ -> None

    Opt.forms "--optimizer" "NAME" [ "adam"; "adamw"; "adamp"; "sgd[:MOMENTUM]" ] "Optimizer." tryParse
    |> Opt.defaultsTo "adam"
    |> recipeGroup

let schedule =
    let step (text: string) =
        match text.Split ':' with
        | [| every; factor |] ->
            match Opt.tryWhole every, Opt.tryReal factor with
            | Some every, Some factor when every >= 1 && Opt.isPositive factor -> Ok(Schedule.Step(every, factor))
            | _ -> Error $"--schedule step takes whole epochs and a positive factor, such as step:30:0.1, not '{text}'."
        | _ -> Error $"--schedule step takes epochs and a factor, such as step:30:0.1, not '{text}'."

    let tryParse text =
        match Opt.wordAndParameter text with
        | "linear", None -> Some(Ok Linear)
        | "cosine", None -> Some(Ok Cosine)
        | "constant", None -> Some(Ok Constant)
        | "step", None -> Some(Ok(Schedule.Step(30, 0.1)))
        | "step", Some text -> Some(step text)
        | _ -> None

    Opt.forms
        "--schedule"
        "NAME"
        [ "linear"; "cosine"; "constant"; "step[:EPOCHS:X]" ]
        "Learning-rate schedule."
        tryParse
    |> Opt.defaultsTo "linear"
    |> recipeGroup

let warmUp =
    Opt.real
        "--warm-up"
        "EPOCHS"
        $"epochs from 0 to {snd Limits.epochs}, such as 0.5"
        (Opt.between 0.0 (float (snd Limits.epochs)))
        "Epochs over which the learning rate rises from 0."
    |> Opt.defaultsTo "0"
    |> recipeGroup

let clip =
    let tryParse text =
        match Opt.wordAndParameter text with
        | "agc", None -> Some(Ok Recipe.corrected.Clip)
        | "agc", Some text -> Some(Opt.parameter "--clip agc" "a positive clipping factor" Opt.isPositive text Agc)
        | "none", None -> Some(Ok NoClipping)
        | _ -> None

    Opt.forms "--clip" "RULE" [ "agc[:LAMBDA]"; "none" ] "Gradient clipping." tryParse
    |> Opt.defaultsTo "agc"
    |> recipeGroup

let initialisation =
    Opt.choice
        "--initialisation"
        "KIND"
        [ "data-dependent", Initialisation.DataDependent; "fixed", Initialisation.Fixed ]
        "Initial shifts and β."
    |> Opt.defaultsTo "data-dependent"
    |> recipeGroup

let remeasure = Opt.flag "--remeasure" "Stage 2 measures β and the shifts again." |> recipeGroup

let weightAverage =
    Opt.real
        "--ema"
        "DECAY"
        "a decay below 1, such as 0.999, or 0"
        (fun decay -> decay >= 0.0 && decay < 1.0)
        "Keep and evaluate a moving average of the weights; 0 keeps none."
    |> recipeGroup

let loss =
    let tryParse text =
        match Opt.wordAndParameter text with
        | "ce", None -> Some(Ok CrossEntropyLoss)
        | "ls", None -> Some(Ok(LabelSmoothingLoss 0.1))
        | "ls", Some text ->
            Some(Opt.parameter "--loss ls" "a share from 0 to 1" (Opt.between 0.0 1.0) text LabelSmoothingLoss)
        | "kd", None -> Some(Ok DistillationLoss)
        | _ -> None

    Opt.forms "--loss" "NAME" [ "ce"; "ls[:EPSILON]"; "kd" ] "Loss (kd needs --teacher)." tryParse
    |> Opt.defaultsTo "ce"
    |> recipeGroup

let teacher = Opt.path "--teacher" "FILE" "Checkpoint to distil from." |> recipeGroup

let seed =
    Opt.custom
        "--seed"
        "N"
        ValueKind.Text
        "a whole number"
        "Seed of weights, image order and augmentation."
        (fun text ->
            match Int64.TryParse text with
            | true, value -> Some value
            | _ -> None)
    |> Opt.defaultsTo "1"
    |> recipeGroup
