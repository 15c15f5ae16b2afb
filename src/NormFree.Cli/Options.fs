namespace NormFree.Cli

open System
open NormFree.Data
open NormFree.Kernels.Simd
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Benchmarks

/// <summary>What <c>normfree export</c> writes.</summary>
[<RequireQualifiedAccess>]
type ExportFormat =
    | PyTorch
    | Safetensors
    | Onnx
    | Packed

/// <summary>The loss by its name. Distillation gets its teacher by another option.</summary>
type LossName =
    | CrossEntropyLoss
    | LabelSmoothingLoss of epsilon: float
    | DistillationLoss

/// <summary>The recipe that a training starts from: its rules, and the defaults of epochs, batch and learning rate.</summary>
type RecipeName =
    | PublishedRecipe
    | CorrectedRecipe

/// <summary>The table of all options. Commands share these values; a command changes a default or a sentence where its own differs.</summary>
/// <remarks>Names that earlier versions had stand in <c>OldNames</c>.</remarks>
[<RequireQualifiedAccess>]
module internal Options =

    let private isPositive (value: float) = value > 0.0 && Double.IsFinite value

    /// A word with a number after a colon, or the word alone.
    let private split (text: string) =
        match text.IndexOf ':' with
        | -1 -> text, None
        | colon -> text.Substring(0, colon), Some(text.Substring(colon + 1))

    // Network

    let private network option = Opt.group "Network" option

    let arch =
        Opt.choice
            "--arch"
            "NAME"
            [ for name, _ in Architecture.all -> name, name ]
            "Architecture; 'network list' prints all."
        |> Opt.defaultsTo "reactnet-18"
        |> network

    /// Architectures with binary layers only.
    let binaryArch =
        let names =
            [ for name, table in Architecture.all do
                  if Net.isBinary (table Size.Full CifarStem) then
                      name ]

        Opt.choice "--arch" "NAME" [ for name in names -> name, name ] "Architecture; 'network list' prints all."
        |> Opt.defaultsTo "reactnet-18"
        |> network

    let norm =
        let alpha form case text = Some(Opt.parameter $"--norm {form}" "a positive number" isPositive text case)

        let tryParse text =
            match split text with
            | "batch-norm", None -> Some(Ok BatchNorm)
            | "none", None -> Some(Ok NoNorm)
            | "bn-free", None -> Some(Ok(BnFree 0.2))
            | "scaled", None -> Some(Ok(Scaled 0.2))
            | "bn-free", Some text -> alpha "bn-free" BnFree text
            | "scaled", Some text -> alpha "scaled" Scaled text
            | _ -> None

        Opt.forms
            "--norm"
            "NORM"
            [ "batch-norm"; "none"; "bn-free[:ALPHA]"; "scaled[:ALPHA]" ]
            "Normalisation of binary layers."
            tryParse
        |> Opt.defaultsTo "bn-free"
        |> network

    let binarise =
        Opt.choice
            "--binarise"
            "WHAT"
            [ for case in [ Activations; ActivationsAndWeights ] -> Names.binarise case, case ]
            "What is binary (stage 1: activations; stage 2: both)."
        |> Opt.defaultsTo (Names.binarise ActivationsAndWeights)
        |> network

    let shortcut =
        Opt.choice
            "--shortcut"
            "WEIGHTS"
            [ for case in [ WeightBinariser.Binary; WeightBinariser.ZeroMean; WeightBinariser.Real ] ->
                  Names.weights case, case ]
            "Stage 2's shortcut weights."
        |> network

    let stem =
        Opt.choice "--stem" "KIND" [ "cifar", CifarStem; "imagenet", ImageNetStem ] "Stem (default: by the image size)."
        |> network

    let private factor name sentence =
        let values = $"a factor above 0 and up to {Limits.factor}"
        let isFactor value = value > 0.0 && value <= Limits.factor
        Opt.real name "X" values isFactor sentence |> Opt.defaultsTo "1" |> network

    let networkFile = Opt.path "--network" "FILE" "Network as JSON, as 'network show' prints it." |> network

    let width = factor "--width" "Factor of the architecture's channels."
    let depth = factor "--depth" "Factor of the architecture's layers."

    let classes =
        Opt.whole "--classes" "N" Limits.classes "Classes of the classifier."
        |> Opt.defaultsTo "1000"
        |> network

    // Data set

    let private data option = Opt.group "Data set" option

    let dataset =
        Opt.choice
            "--dataset"
            "KIND"
            [ "cifar10", DatasetKind.Cifar10
              "cifar100", DatasetKind.Cifar100
              "folder", DatasetKind.ImageFolder
              "mnist", DatasetKind.Mnist
              "fashion-mnist", DatasetKind.FashionMnist
              "emnist", DatasetKind.Emnist
              "synthetic", DatasetKind.Synthetic ]
            "Data set."
        |> Opt.defaultsTo "synthetic"
        |> data

    let dataPath = Opt.path "--data" "PATH" "Folder, archive or file of the data set." |> data

    let size =
        Opt.whole "--size" "N" Limits.imageSide "Image side in pixels (default: the data set's)." |> data

    let resize =
        Opt.whole
            "--resize"
            "N"
            Limits.imageSide
            "Shorter side before the centre crop (default: 8/7 of --size above 64)."
        |> data

    let normalisation =
        Opt.choice
            "--normalisation"
            "NAME"
            [ "imagenet", Normalisation.imageNet
              "cifar10", Normalisation.cifar10
              "cifar100", Normalisation.cifar100 ]
            "Mean and deviation (default: the data set's, or by --size)."
        |> data

    let limit =
        Opt.whole "--limit" "N" Limits.images "Number of training images, balanced over classes." |> data

    let testLimit =
        Opt.whole "--test-limit" "N" Limits.images "Number of test images, balanced over classes." |> data

    let heldOut =
        Opt.real
            "--held-out"
            "X"
            "a share from 0 to below 1"
            (fun value -> value >= 0.0 && value < 1.0)
            "Fraction of training images held out for validation."
        |> Opt.defaultsTo "0"
        |> data

    let trainSplit =
        Opt.text "--train-split" "NAME" "Folder of the training images; '.' is the data set itself." |> data

    let testSplit = Opt.text "--test-split" "NAME" "Folder of the test images." |> data

    let emnistSplit =
        Opt.choice
            "--emnist-split"
            "NAME"
            [ for split in IdxSet.splits -> IdxSet.splitName split, split ]
            "Split of EMNIST (default: the only one there is)."
        |> data

    let classNames = Opt.path "--class-names" "FILE" "Names of the classes, one in each line." |> data

    let allowLeftOut =
        Opt.flag "--allow-left-out" "Accept classes of which more than half is left out." |> data

    let strict = Opt.flag "--strict" "Stop at an image that cannot be read." |> data

    // Recipe

    let private recipeGroup option = Opt.group "Recipe" option

    let recipe =
        Opt.choice
            "--recipe"
            "NAME"
            [ "published", PublishedRecipe; "corrected", CorrectedRecipe ]
            "Training as in the paper's code, or with its faults corrected."
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
        Opt.real
            "--lr"
            "X"
            $"a learning rate above 0 and up to {Limits.learningRate}"
            (fun value -> value > 0.0 && value <= Limits.learningRate)
            "Learning rate (0.0005 with --recipe published)."
        |> Opt.defaultsTo "0.001"
        |> recipeGroup

    let weightDecay =
        Opt.real
            "--weight-decay"
            "X"
            "a number from 0 to 10"
            (Opt.between 0.0 10.0)
            "Weight decay of stage 1; stage 2 has none."
        |> Opt.defaultsTo "1e-5"
        |> recipeGroup

    let optimiser =
        let tryParse text =
            match split text with
            | "adam", None -> Some(Ok Adam)
            | "adamw", None -> Some(Ok AdamW)
            | "sgd", None -> Some(Ok(Sgd 0.9))
            | "sgd", Some text ->
                let isMomentum value = value >= 0.0 && value < 1.0
                Some(Opt.parameter "--optimizer sgd" "a momentum from 0 to below 1" isMomentum text Sgd)
            | _ -> None

        Opt.forms "--optimizer" "NAME" [ "adam"; "adamw"; "sgd[:MOMENTUM]" ] "Optimizer." tryParse
        |> Opt.defaultsTo "adam"
        |> recipeGroup

    let schedule =
        let step (text: string) =
            match text.Split ':' with
            | [| every; factor |] ->
                match Opt.tryWhole every, Opt.tryReal factor with
                | Some every, Some factor when every >= 1 && isPositive factor -> Ok(Schedule.Step(every, factor))
                | _ ->
                    Error
                        $"--schedule step takes whole epochs and a positive factor, such as step:30:0.1, not '{text}'."
            | _ -> Error $"--schedule step takes epochs and a factor, such as step:30:0.1, not '{text}'."

        let tryParse text =
            match split text with
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
        Opt.whole "--warm-up" "N" (0, snd Limits.epochs) "Epochs over which the learning rate rises from 0."
        |> Opt.defaultsTo "0"
        |> recipeGroup

    let clip =
        let tryParse text =
            match split text with
            | "agc", None -> Some(Ok Recipe.corrected.Clip)
            | "agc", Some text -> Some(Opt.parameter "--clip agc" "a positive clipping factor" isPositive text Agc)
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

    let loss =
        let tryParse text =
            match split text with
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

    // Run

    let private run option = Opt.group "Run" option

    let config = Opt.path "--config" "FILE" "Start from this configuration; options override it." |> run
    let printConfig = Opt.flag "--print-config" "Print the resolved configuration and exit." |> run

    let init = Opt.path "--init" "FILE" "Weights to start from; by default only stage 2 is trained." |> run

    let out = Opt.path "--out" "FOLDER" "Run folder (default: runs/ARCH-NORM)." |> run
    let resume = Opt.flag "--resume" "Resume the run in --out with its settings." |> run

    let keep =
        Opt.whole "--keep" "N" Limits.keep "Last checkpoints kept of each stage."
        |> Opt.defaultsTo (string CheckpointPolicy.Default.Checkpoints)
        |> run

    let checkpointEvery =
        let least, most = Limits.minutes

        Opt.real
            "--checkpoint-every"
            "MINUTES"
            $"minutes from {least} to {most:F0}"
            (Opt.between least most)
            "Longest time between two checkpoints."
        |> Opt.defaultsTo (string CheckpointPolicy.Default.Every.TotalMinutes)
        |> run

    let onNonFinite =
        Opt.choice
            "--on-nonfinite"
            "RULE"
            [ "stop", Stop; "skip", Skip; "rollback", Rollback ]
            "Response to NaN or infinity."
        |> Opt.defaultsTo "stop"
        |> run

    let telemetry =
        Opt.custom
            "--telemetry"
            "N"
            ValueKind.Text
            "a number of steps from 1, or off"
            "Steps between two samples of the layers, or off."
            (fun text ->
                match Opt.tryWhole text with
                | Some every when every >= 1 -> Some(EverySteps every)
                | _ when text = "off" -> Some Never
                | _ -> None)
        |> Opt.defaultsTo "50"
        |> run

    let jsonLog = Opt.flag "--json-log" "Print one JSON object per event." |> run

    // Execution

    let private executionGroup option = Opt.group "Execution" option

    let engine =
        Opt.choice "--engine" "NAME" [ "fused", Fused; "composite", Composite ] "Engine (composite is torch's own)."
        |> Opt.defaultsTo "fused"
        |> executionGroup

    /// Never more than the processor has.
    let instructions =
        let names = [ for set in Enum.GetValues<InstructionSet>() -> (string set).ToLowerInvariant(), set ]

        Opt.choice "--instructions" "SET" names "Instruction set." |> executionGroup

    /// The engine for a file. Without it the file decides.
    let computeEngine =
        Opt.choice
            "--engine"
            "NAME"
            [ "fused", Trained Execution.Default
              "composite", Trained Execution.Portable
              "packed", PackedEngine ]
            "Engine (default: fused, or packed for packed files)."
        |> executionGroup

    let inferenceEngine =
        Opt.choice
            "--engine"
            "NAME"
            [ "packed", InferenceEngine.Packed
              "torch", InferenceEngine.Torch
              "onnxruntime", InferenceEngine.OnnxRuntime
              "onnxruntime-int8", InferenceEngine.OnnxRuntimeInt8 ]
            "Engine."
        |> Opt.defaultsTo "packed"
        |> executionGroup

    let precision =
        Opt.choice "--precision" "NAME" [ "float32", Float32; "bf16", BFloat16 ] "Precision of fused convolutions."
        |> Opt.defaultsTo "float32"
        |> executionGroup

    /// Whether tensors are computed in float64.
    let isDouble =
        Opt.choice "--precision" "TYPE" [ "float32", false; "float64", true ] "Number format for --input."
        |> Opt.defaultsTo "float32"
        |> executionGroup

    let device =
        Opt.choice "--device" "NAME" [ "cpu", Cpu; "cuda", Cuda ] "Device (cuda needs --engine composite)."
        |> Opt.defaultsTo "cpu"
        |> executionGroup

    let threads =
        Opt.threads "--threads" "Threads that compute (default: all processors)." |> executionGroup

    let workers = Opt.threads "--workers" "Threads that read images." |> executionGroup

    let accumulate =
        Opt.whole "--accumulate" "N" Limits.accumulate "Parts of a batch, one after another, to save memory."
        |> Opt.defaultsTo "1"
        |> executionGroup

    let rankTimeout =
        Opt.real
            "--rank-timeout"
            "SECONDS"
            "seconds from 2 to 86400"
            (Opt.between 2.0 86400.0)
            "Time after which a missing rank ends an mpirun job."
        |> Opt.defaultsTo "30"
        |> executionGroup

    // Input and output

    let private files option = Opt.group "Input and output" option

    let checkpoint = Opt.path "--checkpoint" "FILE" "Checkpoint or packed file of the network." |> files
    let packed = Opt.path "--packed" "FILE" "Packed file of the network." |> files
    let input = Opt.path "--input" "FILE" "Safetensors file with 'input', N×3×H×W, normalised." |> files
    let output = Opt.path "--output" "FILE" "Safetensors file to write 'logits' to, N×classes." |> files

    let top =
        Opt.whole "--top" "N" (1, 1_000_000) "Classes to print per image." |> Opt.defaultsTo "3" |> files

    let json = Opt.flag "--json" "Print one JSON object." |> files
    let file = Opt.path "--out" "FILE" "File to write." |> files

    let format =
        Opt.choice
            "--format"
            "NAME"
            [ "pytorch", ExportFormat.PyTorch
              "safetensors", ExportFormat.Safetensors
              "onnx", ExportFormat.Onnx
              "packed", ExportFormat.Packed ]
            "File format."
        |> files

    let dynamicBatch =
        Opt.flag "--dynamic-batch" "ONNX: accept any number of images instead of one." |> files

    let flatWeights =
        Opt.flag
            "--flat-weights"
            "PyTorch: one-bit filters as N×1 'weights', as ReActNet's and Bi-Real Net's code has them."
        |> files

    let pytorch = Opt.path "--pytorch" "FILE" "File written by torch.save: .pt, .pth, .pth.tar." |> files
    let safetensors = Opt.path "--safetensors" "FILE" "Safetensors file." |> files

    let weights =
        Opt.text "--weights" "NAME" "Which state dict of the PyTorch file, such as ema (default: not an average)."
        |> files

    let allowNonFinite = Opt.flag "--allow-nonfinite" "Import weights that are NaN or infinite." |> files
    let partial = Opt.flag "--partial" "Load the tensors that fit and list the others." |> files
    let title = Opt.text "--title" "TEXT" "Heading of the page." |> files
    let noSpeed = Opt.flag "--no-speed" "Do not measure the speed of packed networks." |> files

    let verifyImages =
        Opt.whole "--images" "N" (1, 65_536) "Images to compare layers on." |> Opt.defaultsTo "2" |> files

    let mirror =
        Opt.custom
            "--mirror"
            "URL"
            ValueKind.Text
            "an address such as https://example.org/cifar/"
            "Address of a mirror."
            (fun text ->
                match Uri.TryCreate(text, UriKind.Absolute) with
                | true, address -> Some(nonNull address)
                | _ -> None)
        |> files

    // Measurement

    let private measurement option = Opt.group "Measurement" option

    let image =
        Opt.whole "--image" "N" Limits.imageSide "Image side in pixels."
        |> Opt.defaultsTo "32"
        |> measurement

    let warmUpSteps =
        Opt.whole "--warm-up" "N" (0, 1_000_000) "Steps before the measurement."
        |> Opt.defaultsTo "2"
        |> measurement

    let steps =
        Opt.whole "--steps" "N" (1, 1_000_000) "Measured steps." |> Opt.defaultsTo "10" |> measurement

    let runs =
        Opt.whole "--runs" "N" (1, 1_000_000) "Least number of measured runs."
        |> Opt.defaultsTo "20"
        |> measurement

    let seconds =
        Opt.real "--seconds" "X" "seconds from 0 to 86400" (Opt.between 0.0 86400.0) "Least measured time."
        |> Opt.defaultsTo "1"
        |> measurement

    let profile = Opt.flag "--profile" "Measure each layer too." |> measurement

    let only =
        Opt.text "--only" "WORDS" "Layers whose names contain this, such as '3x3 256->256'." |> measurement

    let predictNodes =
        let tryCounts (text: string) =
            let counts =
                [ for word in text.Split ',' -> Opt.tryWhole word |> Option.filter (fun count -> count >= 1) ]

            if List.forall Option.isSome counts then Some(List.choose id counts) else None

        Opt.custom
            "--predict"
            "NODES"
            ValueKind.Text
            "whole numbers from 1, such as 1,8,64"
            "Predict the speed of these numbers of nodes."
            tryCounts
        |> measurement

    let bandwidth =
        Opt.real
            "--bandwidth"
            "GBIT"
            "a positive number"
            isPositive
            "Bandwidth between nodes in Gbit/s (default: measured, or 10)."
        |> measurement

    let latency =
        Opt.real
            "--latency"
            "US"
            "a positive number"
            isPositive
            "Latency between nodes in µs (default: measured, or 50)."
        |> measurement
