namespace NormFree.Cli

open NormFree.Spec

/// <summary>The words of a command line that belong to no option.</summary>
type Operand =
    {
        Name: string
        About: string
        /// How many are needed at least.
        Least: int
        /// Whether there may be more.
        Many: bool
        /// The words that are accepted; empty if any word is.
        Words: string list
    }

/// <summary>A command of the tool: what it takes, not what it does.</summary>
type Command =
    {
        /// One word, or two: <c>bench train</c>.
        Name: string
        /// One sentence.
        About: string
        Operand: Operand option
        Options: OptionSpec list
        /// Names of the options that must be given.
        Required: string list
    }

/// <summary>The table of all commands. Help, parsing, completion and the reference page follow it.</summary>
[<RequireQualifiedAccess>]
module internal Commands =

    let private command name about options =
        { Name = name; About = about; Operand = None; Options = options; Required = [] }

    let private network (arch: Opt<string>) =
        [ arch.Spec
          Options.Network.norm.Spec
          Options.Network.shortcut.Spec
          Options.Network.estimator.Spec
          Options.Network.slopes.Spec
          Options.Network.stem.Spec
          Options.Network.width.Spec
          Options.Network.depth.Spec ]

    /// What a network is described by, besides its architecture.
    let private described =
        [ Options.Network.networkFile.Spec
          Options.Network.norm.Spec
          Options.Network.binarise.Spec
          Options.Network.shortcut.Spec
          Options.Network.estimator.Spec
          Options.Network.slopes.Spec
          Options.Network.stem.Spec
          Options.Network.width.Spec
          Options.Network.depth.Spec ]

    /// How the files of a data set are read.
    let private layout =
        [ Options.Data.trainSplit.Spec
          Options.Data.testSplit.Spec
          Options.Data.emnistSplit.Spec
          Options.Data.classNames.Spec
          Options.Data.allowLeftOut.Spec ]

    let private dataset = [ Options.Data.dataset.Spec; Options.Data.dataPath.Spec ] @ layout

    let private testImages = dataset @ [ Options.Data.testLimit.Spec; Options.Data.strict.Spec ]

    let private about sentence option = (Opt.about sentence option).Spec
    let private defaultsTo text option = (Opt.defaultsTo text option).Spec
    let private classes10 = Options.Network.classes |> defaultsTo "10"

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

    let train =
        command
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
                 Options.Execution.minRanks.Spec ])

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
            Required = [ "--checkpoint" ] }

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
                      About = "Images to classify: JPEG, PNG, WebP, BMP or GIF."
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

    let dataGet =
        { command
              "data get"
              "Downloads a data set, or the missing part of it, and checks its checksum."
              [ Options.Files.file |> Opt.about "Folder to write to." |> Opt.defaultsTo "data" |> _.Spec
                Options.Files.mirror.Spec ] with
            Operand =
                Some
                    { Name = "NAME"
                      About = "The data set. The synthetic one has no files, and class folders are your own."
                      Least = 1
                      Many = false
                      Words = [ for dataset in NormFree.Data.Download.all -> dataset.Name ] } }

    let dataCheck =
        { command "data check" "Reads every image of a data set and lists those that cannot be read." dataset with
            Required = [ "--dataset" ] }

    let benchTrain =
        command
            "bench train"
            "Measures the speed and memory of training steps on random images."
            ([ Options.Network.arch.Spec ]
             @ described
             @ [ classes10 ]
             @ [ Options.Measurement.image.Spec
                 Options.Recipe.batch
                 |> Opt.about "Images per step, over all ranks."
                 |> Opt.group "Measurement"
                 |> _.Spec
                 Options.Recipe.recipe |> Opt.about "Recipe." |> Opt.group "Measurement" |> _.Spec
                 Options.Measurement.warmUpSteps.Spec
                 Options.Measurement.steps.Spec
                 Options.Measurement.profile.Spec
                 Options.Measurement.predictNodes.Spec
                 Options.Measurement.bandwidth.Spec
                 Options.Measurement.latency.Spec
                 Options.Execution.engine.Spec
                 Options.Execution.precision.Spec
                 Options.Execution.threads.Spec
                 Options.Execution.instructions.Spec
                 Options.Execution.accumulate.Spec
                 Options.Execution.rankTimeout.Spec
                 Options.Files.json.Spec ])

    let benchInfer =
        command
            "bench infer"
            "Measures the latency and memory of inference on random images, also of other runtimes."
            (network Options.Network.binaryArch
             @ [ classes10
                 Options.Measurement.image.Spec
                 Options.Recipe.batch
                 |> Opt.about "Images per run."
                 |> Opt.defaultsTo "1"
                 |> Opt.group "Measurement"
                 |> _.Spec
                 Options.Measurement.warmUpSteps |> Opt.about "Runs before the measurement." |> defaultsTo "5"
                 Options.Measurement.runs.Spec
                 Options.Measurement.seconds.Spec
                 Options.Execution.inferenceEngine.Spec
                 Options.Execution.threads.Spec
                 Options.Execution.instructions.Spec
                 Options.Files.json.Spec ])

    let benchKernels =
        command
            "bench kernels"
            "Measures binary convolutions against the roofline of this machine."
            [ Options.Measurement.only.Spec
              Options.Measurement.seconds
              |> Opt.about "Least time per layer and instruction set, in seconds."
              |> defaultsTo "0.2"
              Options.Files.json.Spec ]

    let report =
        { command
              "report"
              "Writes a page about one or several runs."
              [ Options.Files.file |> about "Page to write: .html, or .md with pictures beside it."
                Options.Files.title.Spec
                Options.Files.noSpeed.Spec ] with
            Operand =
                Some
                    { Name = "RUN"
                      About = "Folders of runs; runs that differ only in their seeds form a group."
                      Least = 1
                      Many = true
                      Words = [] }
            Required = [ "--out" ] }

    let import =
        { command
              "import"
              "Writes a checkpoint from a PyTorch or safetensors file."
              ([ Options.Files.pytorch.Spec; Options.Files.safetensors.Spec; Options.Files.weights.Spec ]
               @ [ Options.Files.partial.Spec; Options.Files.allowNonFinite.Spec ]
               @ [ Options.Files.file |> about "Checkpoint to write." ]
               @ [ Options.Network.arch |> defaultsTo ""
                   Options.Network.norm.Spec
                   Options.Network.binarise.Spec
                   Options.Network.shortcut.Spec
                   Options.Network.estimator.Spec
                   Options.Network.slopes.Spec
                   Options.Network.stem.Spec
                   Options.Network.width.Spec
                   Options.Network.depth.Spec
                   Options.Network.classes |> Opt.about "Classes (default: the data set's, or 1000)." |> defaultsTo ""
                   Options.Recipe.recipe
                   |> Opt.about "Rules for layer scales and binary filters."
                   |> Opt.defaultsTo "published"
                   |> Opt.group "Network"
                   |> _.Spec
                   Options.Data.dataset |> Opt.about "Take class names and normalisation from it." |> defaultsTo ""
                   Options.Data.dataPath.Spec ]
               @ layout
               @ [ Options.Data.size |> about "Image side in pixels (default: the data set's, or 224)."
                   Options.Data.resize.Spec
                   Options.Data.normalisation.Spec ]) with
            Required = [ "--arch"; "--out" ] }

    let export =
        { command
              "export"
              "Writes a PyTorch, safetensors, ONNX or packed file from a checkpoint."
              [ Options.Files.checkpoint |> about "Checkpoint to export, or zoo:NAME."
                Options.Files.format.Spec
                Options.Files.file.Spec
                Options.Files.dynamicBatch.Spec
                Options.Files.flatWeights.Spec ] with
            Required = [ "--checkpoint"; "--format"; "--out" ] }

    let verify =
        { command
              "verify"
              "Compares a packed file with its checkpoint, layer by layer."
              ([ Options.Files.checkpoint |> about "Checkpoint of the packed file, or zoo:NAME."
                 Options.Files.packed |> about "Packed file to compare, or zoo:NAME."
                 Options.Files.verifyImages.Spec
                 Options.Data.dataset |> Opt.about "Compare the accuracy on its test images too." |> defaultsTo ""
                 Options.Data.dataPath.Spec ]
               @ layout
               @ [ Options.Data.testLimit.Spec; Options.Execution.threads.Spec; Options.Files.json.Spec ]) with
            Required = [ "--checkpoint"; "--packed" ] }

    let private zooNetwork about = Some { Name = "NAME"; About = about; Least = 1; Many = false; Words = [] }

    let zooList =
        command "zoo list" "Lists the trained networks that the tool contains; 'normfree zoo' does the same." []

    let zooCard =
        { command "zoo card" "Prints the model card of a network." [] with
            Operand = zooNetwork "The network." }

    let zooExport =
        { command
              "zoo export"
              "Writes the packed file of a network, and its checkpoint if the zoo has it."
              [ Options.Files.file |> Opt.about "Folder to write to." |> Opt.defaultsTo "." |> _.Spec ] with
            Operand = zooNetwork "The network." }

    let zooAdd =
        { command
              "zoo add"
              "Adds or replaces a network in a checkout of NormFree: measures it and writes its files, card and page."
              [ Options.Files.runFolder.Spec
                Options.Files.file |> Opt.about "The checkout." |> Opt.defaultsTo "." |> _.Spec
                Options.Files.withCheckpoint.Spec
                Options.Data.dataPath |> about "Where the run's data set is now." ] with
            Operand = zooNetwork "The name: data set, hyphen, architecture."
            Required = [ "--run" ] }

    let completion =
        { command "completion" "Prints a completion script for a shell." [] with
            Operand =
                Some
                    { Name = "SHELL"
                      About = "The shell."
                      Least = 1
                      Many = false
                      Words = [ "bash"; "zsh"; "fish"; "powershell" ] } }

    let reference = command "reference" "Prints the reference of all commands and options as Markdown." []

    let all =
        [ train
          eval
          predict
          summary
          networkList
          networkShow
          dataGet
          dataCheck
          benchTrain
          benchInfer
          benchKernels ]
        @ [ report; import; export; verify ]
        @ [ zooList; zooCard; zooExport; zooAdd; completion; reference ]

    /// The first words of commands that have two, with one sentence each.
    let groups =
        [ "network", "Lists architectures and prints them as JSON."
          "data", "Downloads and checks data sets."
          "bench", "Measures speed and memory."
          "zoo", "Lists, describes and exports the trained networks that the tool contains." ]

    /// Commands that run if the first word stands alone. The other groups print their help then.
    let defaults = [ "zoo", zooList ]

    /// What may be the first word of a command line.
    let firstWords = [ for command in all -> command.Name.Split(' ')[0] ] |> List.distinct
