namespace NormFree.Cli

open System
open System.Globalization
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Benchmarks

/// <summary>What <c>normfree export</c> writes.</summary>
[<RequireQualifiedAccess>]
type ExportFormat =
    | PyTorch
    | Safetensors
    | Onnx
    | Packed

/// <summary>The words of the command line as values. A word that is none of the choices is an error that lists them.</summary>
[<RequireQualifiedAccess>]
module Choices =

    let private usage message = raise (UsageException message)

    let private among name (choices: (string * 'T) list) (word: string) =
        match List.tryFind (fun (known, _) -> known = word) choices with
        | Some(_, value) -> value
        | None ->
            let known = choices |> List.map fst |> String.concat ", "
            usage $"{name} cannot be '{word}': choose one of {known}."

    let private number name (text: string) =
        match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value -> value
        | _ -> usage $"{name} takes a number, not '{text}'."

    /// A whole number within these bounds.
    let within least most name (value: int) =
        if least <= value && value <= most then
            value
        else
            usage $"{name} takes a whole number from {least} to {most}, not {value}."

    /// A count of things of which there must be one.
    let count (name: string) = within 1 Int32.MaxValue name

    /// Threads: far more of them than processors only cost memory.
    let threads (name: string) = within 1 1024 name

    /// Pixels along the side of an image.
    let side (name: string) = within 1 65536 name

    /// How long a measurement takes at least.
    let seconds name (value: float) =
        if value >= 0.0 && value <= 86400.0 then
            value
        else
            usage $"{name} takes seconds from 0 to 86400, not {value}."

    /// How long ranks wait for one that is missing; they look after one another every second at most.
    let patience name (value: float) =
        if value >= 2.0 && value <= 86400.0 then
            TimeSpan.FromSeconds value
        else
            usage $"{name} takes seconds from 2 to 86400, not {value}."

    /// A measure that cannot be 0.
    let positive name (value: float) =
        if value > 0.0 && Double.IsFinite value then
            value
        else
            usage $"{name} takes a positive number, not {value}."

    /// Whole numbers with commas between them.
    let counts name (text: string) =
        [ for word in text.Split ',' do
              match Int32.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture) with
              | true, value when value >= 1 -> value
              | _ -> usage $"{name} takes whole numbers from 1, such as 1,8,64, not '{text}'." ]

    /// What scales a table.
    let factor name (value: float) =
        if value > 0.0 && value <= 64.0 then
            value
        else
            usage $"{name} takes a factor above 0 and up to 64, not {value}."

    /// A word with a number behind a colon, or the word alone.
    let private parameter (word: string) =
        match word.IndexOf ':' with
        | -1 -> word, None
        | colon -> word.Substring(0, colon), Some(word.Substring(colon + 1))

    let architecture word = among "--arch" Architecture.all word

    /// A network of the tables, scaled in width and depth where factors are given.
    let sized (arch: string) (width: float option, depth: float option) : StemKind -> NetSpec =
        let size =
            { Width = factor "--width" (Option.defaultValue 1.0 width)
              Depth = factor "--depth" (Option.defaultValue 1.0 depth) }

        architecture arch size

    let stem = among "--stem" [ "cifar", CifarStem; "imagenet", ImageNetStem ]

    let norm (word: string) : Norm =
        let withAlpha (name: string) case text =
            let alpha = number $"--norm {name}" text

            if alpha > 0.0 && Double.IsFinite alpha then
                case alpha
            else
                usage $"--norm {name} takes a positive number, not '{text}'."

        match parameter word with
        | "bn-free", Some text -> withAlpha "bn-free" BnFree text
        | "scaled", Some text -> withAlpha "scaled" Scaled text
        | _ ->
            among "--norm" [ "batch-norm", BatchNorm; "none", NoNorm; "bn-free", BnFree 0.2; "scaled", Scaled 0.2 ] word

    /// The words of a choice without values.
    let private cases choices = [ for case in choices -> Json.name case, case ]

    let private engine = among "--engine" (cases [ Fused; Composite ])

    /// Who computes what <c>bench infer</c> measures.
    let inferenceEngine =
        among
            "--engine"
            (cases
                [ InferenceEngine.Packed
                  InferenceEngine.Torch
                  InferenceEngine.OnnxRuntime
                  InferenceEngine.OnnxRuntimeInt8 ])

    let private precision = among "--precision" (cases [ Float32; BFloat16 ])

    let device = among "--device" (cases [ Cpu; Cuda ])

    /// An engine and a precision by their words; the defaults where none is given.
    let execution (device: Device) (engineWord: string option) (precisionWord: string option) : Execution =
        let execution =
            { Engine = engineWord |> Option.map engine |> Option.defaultValue Execution.Default.Engine
              Precision = precisionWord |> Option.map precision |> Option.defaultValue Execution.Default.Precision }

        match execution.On(device.Type, TorchSharp.torch.ScalarType.Float32) with
        | Ok _ -> execution
        | Error why -> usage why

    /// Who computes the network of a file; nothing where it is left to the file.
    let computing (engineWord: string option) : ComputeEngine option =
        let packed = "packed", PackedEngine

        let trained engine = Json.name engine, Trained { Execution.Default with Engine = engine }

        engineWord |> Option.map (among "--engine" [ trained Fused; trained Composite; packed ])

    let onNonFinite = among "--on-nonfinite" (cases [ Stop; Skip; Rollback ])

    /// A number of steps, or a word.
    let telemetry (word: string) : Sampling =
        match Int32.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, every when every > 0 -> EverySteps every
        | _ when word = "off" -> Never
        | _ -> usage $"--telemetry takes a whole number of steps from 1, or off, not '{word}'."

    /// A time in minutes; 0 is at once.
    let minutes name (value: float) =
        if value >= 0.0 && value <= 1e6 then
            TimeSpan.FromMinutes value
        else
            usage $"{name} must be a number of minutes from 0 to 1000000, not {value}."

    let binarise =
        among
            "--binarise"
            [ Names.binarise Activations, Activations
              Names.binarise ActivationsAndWeights, ActivationsAndWeights ]

    let dataset =
        among
            "--dataset"
            [ "cifar10", DatasetKind.Cifar10
              "cifar100", DatasetKind.Cifar100
              "folder", DatasetKind.ImageFolder
              "fashion-mnist", DatasetKind.FashionMnist
              "drawn", DatasetKind.Synthetic ]

    let recipe = among "--recipe" [ "published", Recipe.published; "corrected", Recipe.corrected ]

    let optimiser (word: string) : Optimiser =
        match parameter word with
        | "sgd", Some momentum -> Sgd(number "--optimizer sgd" momentum)
        | _ -> among "--optimizer" [ "adam", Adam; "adamw", AdamW; "sgd", Sgd 0.9 ] word

    let schedule (word: string) : Schedule =
        match word.Split ':' with
        | [| "step"; every; factor |] ->
            match Int32.TryParse(every, NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, every -> Schedule.Step(every, number "--schedule step" factor)
            | _ -> usage $"--schedule step takes a whole number of epochs, not '{every}'."
        | _ ->
            among
                "--schedule"
                [ "constant", Constant; "linear", Linear; "cosine", Cosine; "step", Schedule.Step(30, 0.1) ]
                word

    let start (word: string) : Initialisation =
        among "--start" [ "fixed", Initialisation.Fixed; "data-dependent", Initialisation.DataDependent ] word

    let clip (word: string) : Clip =
        match parameter word with
        | "agc", Some factor -> Agc(number "--clip agc" factor)
        | _ -> among "--clip" [ "agc", Agc Defaults.AgcLambda; "none", NoClipping ] word

    let loss (teacher: string option) (word: string) : Loss =
        match parameter word, teacher with
        | ("kd", None), Some teacher -> Distillation teacher
        | ("kd", _), None -> usage "--loss kd needs --teacher CHECKPOINT."
        | _, Some _ -> usage "--teacher is used by --loss kd only."
        | ("ls", Some epsilon), None -> LabelSmoothing(number "--loss ls" epsilon)
        | _, None -> among "--loss" [ "ce", CrossEntropy; "ls", LabelSmoothing 0.1; "kd", CrossEntropy ] word

    /// What a network is exported as.
    let exportFormat =
        among
            "--format"
            [ "pytorch", ExportFormat.PyTorch
              "safetensors", ExportFormat.Safetensors
              "onnx", ExportFormat.Onnx
              "packed", ExportFormat.Packed ]
