namespace NormFree.Runs

open System
open NormFree.Data
open NormFree.Spec

/// <summary>The complete configuration of a run: what <c>run.json</c> holds and <c>normfree train --config</c> reads.</summary>
[<RequireQualifiedAccess>]
type RunConfiguration =
    {
        Network: NetworkConfiguration
        Dataset: DatasetConfiguration
        /// The recipe of stage 1, which trains real weights. None skips the stage.
        Stage1: Recipe option
        /// The recipe of stage 2, which trains binary weights. None skips the stage.
        Stage2: Recipe option
        /// The checkpoint whose weights the first stage starts from. None starts from random weights.
        Init: string option
        Execution: ExecutionConfiguration
        /// None before the run starts.
        Facts: RunFacts option
        /// None before the run starts.
        Environment: RunEnvironment option
        /// Each time that the run was resumed with other arithmetic or rules, in words.
        Changes: string list
    }

[<RequireQualifiedAccess>]
module RunConfiguration =

    /// <summary>The name of a stage in logs and reports; <c>number</c> is 1 or 2.</summary>
    let stageName number (configuration: RunConfiguration) =
        configuration.Network.Norm
        |> Option.map (fun _ -> if number = 1 then Activations else ActivationsAndWeights)
        |> Names.stage

    /// <summary>The configuration with the recipe of a stage, 1 or 2.</summary>
    let withRecipe number recipe (configuration: RunConfiguration) =
        match number with
        | 1 -> { configuration with Stage1 = Some recipe }
        | _ -> { configuration with Stage2 = Some recipe }

    /// <summary>The rows (key, value) of a recipe. Every key starts with the stage's name.</summary>
    let recipeRows (stage: string) (recipe: Recipe) : (string * string) list =
        [ "epochs", string recipe.Epochs
          "batch", string recipe.Batch
          "optimiser", Json.name recipe.Optimiser
          "learning rate", string recipe.LearningRate
          "weight decay", string recipe.WeightDecay
          "schedule", Json.name recipe.Schedule
          "warm-up epochs", string recipe.WarmUp
          "loss", Json.name recipe.Loss
          "clipping", Json.name recipe.Clip
          "initialisation", Json.name recipe.Initialisation
          if recipe.Remeasure = Some true then
              "β and shifts", "measured again at the start of the stage"
          match recipe.WeightAverage with
          | Some decay -> "weight average", $"decay {decay}"
          | None -> ()
          "held out", string recipe.HeldOut
          "frozen epochs", string recipe.Freeze
          "seed", string recipe.Seed
          for deviation in Deviation.all do
              $"deviation {deviation.Number}, {deviation.Name}", Json.name (deviation.Of recipe.Deviations) ]
        |> List.map (fun (name, value) -> $"{stage}: {name}", value)

    let private networkRows (network: NetworkConfiguration) (facts: RunFacts option) =
        [ "architecture", network.Architecture
          match facts with
          | Some facts ->
              "stem", facts.Stem
              "classes", string facts.Classes
          | None -> ()
          match network.Norm with
          | Some norm -> "norm", Names.norm norm
          | None -> ()
          match network.Norm with
          | Some(BnFree alpha | Scaled alpha) -> "alpha", string alpha
          | Some(BatchNorm | NoNorm)
          | None -> ()
          match facts with
          | Some facts ->
              "layers", string facts.Layers
              yield! facts.ExpectedVariance |> Option.map (fun value -> "expected variance", value) |> Option.toList
              yield! facts.BinaryGain |> Option.map (fun value -> "binary gain", value) |> Option.toList
          | None -> ()
          match network.Sign with
          | Some sign -> "gradient of the sign", Names.sign sign
          | None -> ()
          match network.Slopes with
          | Some kind -> "slopes", Names.slopes kind
          | None -> ()
          match network.Shortcut with
          | Some weights -> "shortcut weights", Names.weights weights
          | None -> () ]

    let private dataRows (facts: RunFacts) =
        [ "data set", facts.Dataset
          "image size", $"{facts.ImageSize}×{facts.ImageSize}"
          "training images", string facts.TrainingImages
          "test images", string facts.TestImages
          "augmentation", facts.Augmentation ]

    /// Reports show these rows apart from the settings, by their prefix.
    let private environmentRows (environment: RunEnvironment) =
        [ "NormFree", environment.NormFree
          "TorchSharp", environment.TorchSharp
          ".NET", environment.DotNet
          "system", environment.System
          "processors", string environment.Processors
          "processor", environment.Processor
          "device", Json.name environment.Device
          yield! environment.Gpu |> Option.map (fun gpu -> "gpu", gpu) |> Option.toList
          "engine", Json.name environment.Engine
          // The fused engine and packed networks store signs in single bits, which have no third value.
          "deviation 13, sign(0)",
          (match environment.Engine with
           | Fused -> "+1"
           | Composite -> "0")
          "precision", Json.name environment.Precision
          "torch threads", string environment.TorchThreads
          "ranks", string environment.Ranks
          "accumulated parts", string environment.Accumulate ]
        |> List.map (fun (name, value) -> "environment." + name, value)

    /// <summary>The configuration as rows (key, value) for reports, in reading order. Keys about the machine start with <c>environment.</c></summary>
    let rows (configuration: RunConfiguration) : (string * string) list =
        let stage number recipe =
            recipe |> Option.map (recipeRows (stageName number configuration)) |> Option.defaultValue []

        networkRows configuration.Network configuration.Facts
        @ (configuration.Facts |> Option.map dataRows |> Option.defaultValue [])
        @ (configuration.Environment |> Option.map environmentRows |> Option.defaultValue [])
        @ [ "starts from", configuration.Init |> Option.defaultValue "random weights" ]
        @ stage 1 configuration.Stage1
        @ stage 2 configuration.Stage2
        @ [ for i, change in List.indexed configuration.Changes -> $"environment.changed ({i + 1})", change ]

    let private integers (configuration: RunConfiguration) =
        let dataset, execution = configuration.Dataset, configuration.Execution

        [ for number, recipe in [ "Stage1", configuration.Stage1; "Stage2", configuration.Stage2 ] do
              match recipe with
              | Some recipe ->
                  $"{number}.Epochs", Limits.epochs, Some recipe.Epochs
                  $"{number}.Batch", Limits.batch, Some recipe.Batch
              | None -> ()
          "Dataset.Size", Limits.imageSide, dataset.Size
          "Dataset.Limit", Limits.images, dataset.Limit
          "Dataset.TestLimit", Limits.images, dataset.TestLimit
          "Execution.Threads", Limits.threads, execution.Threads
          "Execution.Workers", Limits.threads, execution.Workers
          "Execution.Keep", Limits.keep, Some execution.Keep
          "Execution.Accumulate", Limits.accumulate, Some execution.Accumulate ]

    let private isFactor (factor: float option) =
        factor |> Option.forall (fun factor -> factor > 0.0 && factor <= Limits.factor)

    /// Numbers of epochs and images out of bounds are reported as integers, not again as faults of the recipe.
    let private withCounts (recipe: Recipe) =
        let bounded bounds value = if Result.isOk (Limits.within "" bounds value) then value else snd bounds

        { recipe with
            Epochs = bounded Limits.epochs recipe.Epochs
            Batch = bounded Limits.batch recipe.Batch }

    let private recipeProblems (recipe: Recipe option) =
        match Option.map (withCounts >> Recipe.validate) recipe with
        | Some(Error problems) -> [ for problem in problems -> problem + "." ]
        | Some(Ok _)
        | None -> []

    let private mixProblems (dataset: DatasetConfiguration) =
        [ for extra in defaultArg dataset.Augment [] do
              match extra with
              | WithMixup alpha
              | WithCutMix alpha ->
                  if not (alpha > 0.0 && alpha <= Limits.mixAlpha) then
                      $"Dataset.Augment takes an α above 0 and up to {Limits.mixAlpha}, not {alpha}."
              | WithRandAugment(count, magnitude) ->
                  for name, bounds, value in
                      [ "operations", Limits.randOperations, count; "magnitude", Limits.randMagnitude, magnitude ] do
                      match Limits.within $"Dataset.Augment's {name} of RandAugment" bounds value with
                      | Error problem -> problem
                      | Ok _ -> ()
              | Reflect -> () ]

    let private preprocessingProblems (dataset: DatasetConfiguration) =
        [ for problem in dataset.Preprocessing |> Option.map PreprocessingChecks.ofSteps |> Option.defaultValue [] do
              $"Dataset.Preprocessing: {problem}."
          for problem in
              dataset.Normalisation |> Option.map PreprocessingChecks.ofNormalisation |> Option.defaultValue [] do
              $"Dataset.Normalisation: {problem}." ]

    /// <summary>Everything about the settings that is out of bounds, a sentence each.</summary>
    let problems (configuration: RunConfiguration) : string list =
        let execution = configuration.Execution
        let least, most = Limits.minutes

        [ for name, bounds, value in integers configuration do
              match value |> Option.map (Limits.within name bounds) with
              | Some(Error problem) -> problem
              | Some(Ok _)
              | None -> ()
          for name, factor in [ "Width", configuration.Network.Width; "Depth", configuration.Network.Depth ] do
              if not (isFactor factor) then
                  $"Network.{name} takes a factor above 0 and up to {Limits.factor}."
          if not (execution.CheckpointEvery >= least && execution.CheckpointEvery <= most) then
              $"Execution.CheckpointEvery takes minutes from {least} to {most}, not {execution.CheckpointEvery}."
          match execution.Telemetry with
          | EverySteps every when every < 1 -> $"Execution.Telemetry takes a number of steps from 1, not {every}."
          | EverySteps _
          | Never -> ()
          // Both stages often share a mistake.
          for problem in List.distinct (List.collect recipeProblems [ configuration.Stage1; configuration.Stage2 ]) do
              problem
          match configuration.Init, Option.toList configuration.Stage1 @ Option.toList configuration.Stage2 with
          | None, first :: _ when first.Freeze > 0 -> "Freeze needs Init: random weights cannot stay frozen."
          | _, [ _; second ] when second.Freeze > 0 -> "Stage2.Freeze is for runs without Stage1."
          | _ -> ()
          yield! mixProblems configuration.Dataset
          yield! preprocessingProblems configuration.Dataset
          if configuration.Stage1.IsNone && configuration.Stage2.IsNone then
              "Stage1 and Stage2 are both null: nothing would be trained." ]
