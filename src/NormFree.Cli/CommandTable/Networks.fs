/// Commands that train, measure and use networks.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.CommandTable.Networks

open NormFree.Cli
open NormFree.Cli.CommandTable.Shared
open NormFree.Spec

/// How the work of a training is done. A resumed run may change all of it.
let trainExecution =
    [ Options.Execution.engine.Spec
      Options.Execution.precision.Spec
      Options.Execution.device.Spec
      Options.Execution.threads.Spec
      Options.Execution.instructions.Spec
      Options.Execution.workers.Spec
      Options.Execution.accumulate.Spec
      Options.Execution.rankTimeout.Spec ]

/// The options that most trainings need.
let private common: OptionSpec list =
    [ Options.Network.arch.Spec
      Options.Network.norm.Spec
      Options.Network.binarise.Spec
      Options.Network.width.Spec
      Options.Data.dataset.Spec
      Options.Data.dataPath.Spec
      Options.Data.size.Spec
      Options.Data.limit.Spec
      Options.Data.heldOut.Spec
      Options.Recipe.recipe.Spec
      Options.Recipe.epochs.Spec
      Options.Recipe.batch.Spec
      Options.Recipe.learningRate.Spec
      Options.Recipe.schedule.Spec
      Options.Recipe.loss.Spec
      Options.Recipe.teacher.Spec
      Options.Recipe.seed.Spec
      Options.Run.config.Spec
      Options.Run.init.Spec
      Options.Run.out.Spec
      Options.Run.resume.Spec
      Options.Execution.threads.Spec ]

let train =
    { command
          "train"
          "Trains a network, in one stage or in both."
          ([ Options.Network.arch |> defaultsTo "reactnet-small" ]
           @ described
           @ dataset
           @ [ Options.Data.size.Spec
               Options.Data.resize |> about "Shorter side before the centre crop (needs --size)."
               Options.Data.normalisation.Spec
               Options.Data.augment.Spec
               Options.Data.limit.Spec
               Options.Data.testLimit.Spec
               Options.Data.heldOut.Spec
               Options.Data.strict.Spec
               Options.Recipe.recipe.Spec
               Options.Recipe.epochs.Spec
               Options.Recipe.batch.Spec
               Options.Recipe.learningRate.Spec
               Options.Recipe.weightDecay.Spec
               Options.Recipe.optimiser.Spec
               Options.Recipe.schedule.Spec
               Options.Recipe.warmUp.Spec
               Options.Recipe.clip.Spec
               Options.Recipe.initialisation.Spec
               Options.Recipe.remeasure.Spec
               Options.Recipe.weightAverage.Spec
               Options.Recipe.loss.Spec
               Options.Recipe.teacher.Spec
               Options.Recipe.seed.Spec
               Options.Run.config.Spec
               Options.Run.printConfig.Spec
               Options.Run.init.Spec
               Options.Run.freeze.Spec
               Options.Run.out.Spec
               Options.Run.resume.Spec
               Options.Run.timeLimit.Spec
               Options.Run.keep.Spec
               Options.Run.checkpointEvery.Spec
               Options.Run.onNonFinite.Spec
               Options.Run.telemetry.Spec
               Options.Run.jsonLog.Spec ]
           @ trainExecution
           @ [ Options.Execution.ranks.Spec
               Options.Execution.hosts.Spec
               Options.Execution.restarts.Spec
               Options.Execution.minRanks.Spec ]) with
        Common = [ for spec in common -> spec.Name ] }

let eval =
    { command
          "eval"
          "Measures the accuracy of a network on a data set's test images."
          (Options.Files.checkpoint.Spec :: testImages
           @ [ Options.Recipe.batch
               |> Opt.about "Images per pass; the result does not depend on it."
               |> Opt.group "Execution"
               |> _.Spec
               Options.Execution.computeEngine.Spec
               Options.Execution.threads.Spec
               Options.Execution.instructions.Spec
               Options.Files.json.Spec ]) with
        Required = [ Options.Files.checkpoint.Spec.Name ] }

let predict =
    { command
          "predict"
          "Classifies images, or computes the logits of tensors."
          [ Options.Files.checkpoint.Spec
            Options.Files.packed |> about "The same, for the packed engine."
            Options.Files.input.Spec
            Options.Files.output.Spec
            Options.Files.top.Spec
            Options.Execution.isDouble.Spec
            Options.Execution.computeEngine.Spec
            Options.Execution.threads.Spec
            Options.Execution.instructions.Spec ] with
        Operand =
            Some
                { Name = "IMAGE"
                  About = "Images to classify: JPEG, PNG, WebP, BMP, GIF, TIFF or PNM."
                  Least = 0
                  Many = true
                  Words = [] } }

let summary =
    command
        "summary"
        "Lists the layers, parameters, operations and sizes of a network."
        ([ Options.Network.arch.Spec ]
         @ described
         @ [ Options.Network.classes.Spec
             Options.Data.size
             |> Opt.about "Image side in pixels."
             |> Opt.defaultsTo "224"
             |> Opt.group "Network"
             |> _.Spec
             Options.Files.checkpoint |> about "Checkpoint or packed file to summarise instead, or zoo:NAME."
             Options.Execution.engine
             |> Opt.about "Say how this engine runs each binary layer."
             |> Opt.group "Network"
             |> defaultsTo ""
             Options.Files.json.Spec ])

let networkList =
    command "network list" "Lists the architectures with their parameters and operations." []

let networkShow =
    { command
          "network show"
          "Prints an architecture as JSON, for --network."
          [ Options.Network.norm.Spec
            Options.Network.shortcut.Spec
            Options.Network.estimator.Spec
            Options.Network.slopes.Spec
            Options.Network.stem |> about "Stem (default: cifar)."
            Options.Network.width.Spec
            Options.Network.depth.Spec
            Options.Network.classes |> Opt.defaultsTo "10" |> _.Spec ] with
        Operand =
            Some
                { Name = "NAME"
                  About = "The architecture."
                  Least = 1
                  Many = false
                  Words = [ for name, _ in Architecture.all -> name ] } }
