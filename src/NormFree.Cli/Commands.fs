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
          Options.norm.Spec
          Options.shortcut.Spec
          Options.stem.Spec
          Options.width.Spec
          Options.depth.Spec ]

    /// How the files of a data set are read.
    let private layout =
        [ Options.trainSplit.Spec
          Options.testSplit.Spec
          Options.emnistSplit.Spec
          Options.classNames.Spec
          Options.allowLeftOut.Spec ]

    let private dataset = [ Options.dataset.Spec; Options.dataPath.Spec ] @ layout

    let private testImages = dataset @ [ Options.testLimit.Spec; Options.strict.Spec ]

    let private about sentence option = (Opt.about sentence option).Spec
    let private defaultsTo text option = (Opt.defaultsTo text option).Spec
    let private classes10 = Options.classes |> defaultsTo "10"

    /// How the work of a training is done. A resumed run may change all of it.
    let trainExecution =
        [ Options.engine.Spec
          Options.precision.Spec
          Options.device.Spec
          Options.threads.Spec
          Options.instructions.Spec
          Options.workers.Spec
          Options.accumulate.Spec
          Options.rankTimeout.Spec ]

    let train =
        command
            "train"
            "Trains a network, in one stage or in both."
            ([ Options.arch |> defaultsTo "reactnet-small"
               Options.networkFile.Spec
               Options.norm.Spec
               Options.binarise.Spec
               Options.shortcut.Spec
               Options.stem.Spec
               Options.width.Spec
               Options.depth.Spec ]
             @ dataset
             @ [ Options.size.Spec
                 Options.limit.Spec
                 Options.testLimit.Spec
                 Options.heldOut.Spec
                 Options.strict.Spec
                 Options.recipe.Spec
                 Options.epochs.Spec
                 Options.batch.Spec
                 Options.learningRate.Spec
                 Options.weightDecay.Spec
                 Options.optimiser.Spec
                 Options.schedule.Spec
                 Options.warmUp.Spec
                 Options.clip.Spec
                 Options.initialisation.Spec
                 Options.loss.Spec
                 Options.teacher.Spec
                 Options.seed.Spec
                 Options.config.Spec
                 Options.printConfig.Spec
                 Options.init.Spec
                 Options.out.Spec
                 Options.resume.Spec
                 Options.keep.Spec
                 Options.checkpointEvery.Spec
                 Options.onNonFinite.Spec
                 Options.telemetry.Spec
                 Options.jsonLog.Spec ]
             @ trainExecution)

    let eval =
        { command
              "eval"
              "Measures the accuracy of a network on a data set's test images."
              (Options.checkpoint.Spec :: testImages
               @ [ Options.batch
                   |> Opt.about "Images per pass; the result does not depend on it."
                   |> Opt.group "Execution"
                   |> _.Spec
                   Options.computeEngine.Spec
                   Options.threads.Spec
                   Options.instructions.Spec
                   Options.json.Spec ]) with
            Required = [ "--checkpoint" ] }

    let predict =
        { command
              "predict"
              "Classifies images, or computes the logits of tensors."
              [ Options.checkpoint.Spec
                Options.packed |> about "The same, for the packed engine."
                Options.input.Spec
                Options.output.Spec
                Options.top.Spec
                Options.isDouble.Spec
                Options.computeEngine.Spec
                Options.threads.Spec
                Options.instructions.Spec ] with
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
            ([ Options.arch.Spec
               Options.networkFile.Spec
               Options.norm.Spec
               Options.binarise.Spec
               Options.shortcut.Spec
               Options.stem.Spec ]
             @ [ Options.width.Spec
                 Options.depth.Spec
                 Options.classes.Spec
                 Options.size
                 |> Opt.about "Image side in pixels."
                 |> Opt.defaultsTo "224"
                 |> Opt.group "Network"
                 |> _.Spec
                 Options.checkpoint |> about "Checkpoint to summarise instead."
                 Options.engine
                 |> Opt.about "Say how this engine runs each binary layer."
                 |> Opt.group "Network"
                 |> defaultsTo ""
                 Options.json.Spec ])

    let networkList =
        command "network list" "Lists the architectures with their parameters and operations." []

    let networkShow =
        { command
              "network show"
              "Prints an architecture as JSON, for --network."
              [ Options.norm.Spec
                Options.shortcut.Spec
                Options.stem |> about "Stem (default: cifar)."
                Options.width.Spec
                Options.depth.Spec
                Options.classes |> Opt.defaultsTo "10" |> _.Spec ] with
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
              [ Options.file |> Opt.about "Folder to write to." |> Opt.defaultsTo "data" |> _.Spec
                Options.mirror.Spec ] with
            Operand =
                Some
                    { Name = "NAME"
                      About = "The data set."
                      Least = 1
                      Many = false
                      Words = [ "cifar10"; "cifar100" ] } }

    let dataCheck =
        { command "data check" "Reads every image of a data set and lists those that cannot be read." dataset with
            Required = [ "--dataset" ] }

    let benchTrain =
        command
            "bench train"
            "Measures the speed and memory of training steps on random images."
            ([ Options.arch.Spec
               Options.networkFile.Spec
               Options.norm.Spec
               Options.binarise.Spec
               Options.shortcut.Spec
               Options.stem.Spec ]
             @ [ Options.width.Spec; Options.depth.Spec; classes10 ]
             @ [ Options.image.Spec
                 Options.batch |> Opt.about "Images per step, over all ranks." |> Opt.group "Measurement" |> _.Spec
                 Options.recipe |> Opt.about "Recipe." |> Opt.group "Measurement" |> _.Spec
                 Options.warmUpSteps.Spec
                 Options.steps.Spec
                 Options.profile.Spec
                 Options.predictNodes.Spec
                 Options.bandwidth.Spec
                 Options.latency.Spec
                 Options.engine.Spec
                 Options.precision.Spec
                 Options.threads.Spec
                 Options.instructions.Spec
                 Options.accumulate.Spec
                 Options.rankTimeout.Spec
                 Options.json.Spec ])

    let benchInfer =
        command
            "bench infer"
            "Measures the latency and memory of inference on random images, also of other runtimes."
            (network Options.binaryArch
             @ [ classes10
                 Options.image.Spec
                 Options.batch
                 |> Opt.about "Images per run."
                 |> Opt.defaultsTo "1"
                 |> Opt.group "Measurement"
                 |> _.Spec
                 Options.warmUpSteps |> Opt.about "Runs before the measurement." |> defaultsTo "5"
                 Options.runs.Spec
                 Options.seconds.Spec
                 Options.inferenceEngine.Spec
                 Options.threads.Spec
                 Options.instructions.Spec
                 Options.json.Spec ])

    let benchKernels =
        command
            "bench kernels"
            "Measures binary convolutions against the roofline of this machine."
            [ Options.only.Spec
              Options.seconds
              |> Opt.about "Least time per layer and instruction set, in seconds."
              |> defaultsTo "0.2"
              Options.json.Spec ]

    let report =
        { command
              "report"
              "Writes a page about one or several runs."
              [ Options.file |> about "Page to write: .html, or .md with pictures beside it."
                Options.title.Spec
                Options.noSpeed.Spec ] with
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
              ([ Options.pytorch.Spec; Options.safetensors.Spec; Options.weights.Spec ]
               @ [ Options.partial.Spec; Options.allowNonFinite.Spec ]
               @ [ Options.file |> about "Checkpoint to write." ]
               @ [ Options.arch |> defaultsTo ""
                   Options.norm.Spec
                   Options.binarise.Spec
                   Options.shortcut.Spec
                   Options.stem.Spec
                   Options.width.Spec
                   Options.depth.Spec
                   Options.classes |> Opt.about "Classes (default: the data set's, or 1000)." |> defaultsTo ""
                   Options.recipe
                   |> Opt.about "Rules for layer scales and binary filters."
                   |> Opt.defaultsTo "published"
                   |> Opt.group "Network"
                   |> _.Spec
                   Options.dataset |> Opt.about "Take class names and normalisation from it." |> defaultsTo ""
                   Options.dataPath.Spec ]
               @ layout
               @ [ Options.size |> about "Image side in pixels (default: the data set's, or 224)."
                   Options.resize.Spec
                   Options.normalisation.Spec ]) with
            Required = [ "--arch"; "--out" ] }

    let export =
        { command
              "export"
              "Writes a PyTorch, safetensors, ONNX or packed file from a checkpoint."
              [ Options.checkpoint |> about "Checkpoint to export."
                Options.format.Spec
                Options.file.Spec
                Options.dynamicBatch.Spec
                Options.flatWeights.Spec ] with
            Required = [ "--checkpoint"; "--format"; "--out" ] }

    let verify =
        { command
              "verify"
              "Compares a packed file with its checkpoint, layer by layer."
              ([ Options.checkpoint |> about "Checkpoint of the packed file."
                 Options.packed |> about "Packed file to compare."
                 Options.verifyImages.Spec
                 Options.dataset |> Opt.about "Compare the accuracy on its test images too." |> defaultsTo ""
                 Options.dataPath.Spec ]
               @ layout
               @ [ Options.testLimit.Spec; Options.threads.Spec; Options.json.Spec ]) with
            Required = [ "--checkpoint"; "--packed" ] }

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
        @ [ report; import; export; verify; completion; reference ]

    /// The first words of commands that have two, with one sentence each.
    let groups =
        [ "network", "Lists architectures and prints them as JSON."
          "data", "Downloads and checks data sets."
          "bench", "Measures speed and memory." ]

    /// What may be the first word of a command line.
    let firstWords = [ for command in all -> command.Name.Split(' ')[0] ] |> List.distinct
