namespace NormFree.Training

open System
open System.Runtime.InteropServices
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>Configurations of runs, from what a run consists of and back.</summary>
[<RequireQualifiedAccess>]
module Configuration =

    /// <summary>How the work is done, as a configuration holds it.</summary>
    let ofOptions (options: RunOptions) : ExecutionConfiguration =
        { Device = options.Device
          Engine = options.Execution.Engine
          Precision = options.Execution.Precision
          Threads = Some(torch.get_num_threads ())
          Workers = Some options.Workers
          Strict = options.Strict
          Keep = options.CheckpointPolicy.Checkpoints
          CheckpointEvery = options.CheckpointPolicy.Every.TotalMinutes
          OnNonFinite = options.OnNonFinite
          Telemetry = options.Telemetry
          Accumulate = options.Accumulate }

    /// <summary>The options of a run with this configuration. The number of threads is the process's and is not among them.</summary>
    let toOptions (execution: ExecutionConfiguration) : RunOptions =
        { RunOptions.Default with
            Device = execution.Device
            Execution = { Engine = execution.Engine; Precision = execution.Precision }
            Workers = execution.Workers |> Option.defaultValue RunOptions.Default.Workers
            Strict = execution.Strict
            CheckpointPolicy = { Checkpoints = execution.Keep; Every = TimeSpan.FromMinutes execution.CheckpointEvery }
            OnNonFinite = execution.OnNonFinite
            Telemetry = execution.Telemetry
            Accumulate = execution.Accumulate }

    /// A script has no settings but the network, the images and the options.
    let private ofScript (options: RunOptions) (net: NetSpec) : RunConfiguration =
        { Network = NetworkConfiguration.Of net.Name
          Dataset = DatasetConfiguration.Empty
          Stage1 = None
          Stage2 = None
          Init = None
          Execution = ofOptions options
          Facts = None
          Environment = None
          Changes = [] }

    let private stem net =
        (Net.stem net).Branch
        |> List.tryPick (function
            | Part.Conv conv -> Some $"{conv.Kernel}×{conv.Kernel}, stride {conv.Stride}, {conv.Out} channels"
            | _ -> None)
        |> Option.defaultValue "none"

    /// The number of binary layers, or of real convolutions after the stem.
    let private convolutions (net: NetSpec) =
        let isConvolution =
            function
            | Part.Binary _ -> true
            | Part.Conv _ -> not (Net.isBinary net)
            | _ -> false

        List.tail net.Blocks |> List.collect _.Branch |> List.filter isConvolution |> List.length

    let private facts (net: NetSpec) (dataset: Dataset) : RunFacts =
        let body = Net.tryBinary net

        { Stem = stem net
          Classes = net.Classes
          Layers = convolutions net
          ExpectedVariance = body |> Option.map (fun body -> Names.expectedVariance body.ExpectedVariance)
          BinaryGain = body |> Option.map (fun body -> Names.binaryGain body.BinaryGain)
          Dataset = dataset.Name
          ImageSize = dataset.Size
          TrainingImages = dataset.Train.Count
          TestImages = dataset.Test.Count
          Augmentation =
            if dataset.Augmentation.Train.IsEmpty then
                "none"
            else
                Json.write dataset.Augmentation.Train }

    let private environment (options: RunOptions) (execution: Execution) : RunEnvironment =
        { NormFree = BuildVersion.normFree
          TorchSharp = BuildVersion.ofAssembly typeof<torch.Tensor>
          DotNet = Environment.Version.ToString()
          System = RuntimeInformation.OSDescription
          Processors = Environment.ProcessorCount
          Processor = Machine.arithmetic.Value
          Gpu =
            match options.Device with
            | Cuda -> Machine.gpu.Value
            | Cpu -> None
          Device = options.Device
          Engine = execution.Engine
          Precision = execution.Precision
          TorchThreads = torch.get_num_threads ()
          Ranks = options.BatchPartition.Ranks
          Accumulate = options.BatchPartition.Accumulate }

    /// <summary>The configuration of a run when it starts: <c>asked</c>, or what is known about a script, with the facts and the environment.
    /// Each stage adds its recipe.</summary>
    let describe (asked: RunConfiguration option) options execution init (net: NetSpec) dataset : RunConfiguration =
        let basis = asked |> Option.defaultWith (fun () -> ofScript options net)

        { basis with
            Network =
                { basis.Network with
                    Architecture = net.Name
                    Norm = Net.tryBinary net |> Option.map _.Norm
                    Shortcut = Net.shortcutWeights net }
            Init = init
            Facts = Some(facts net dataset)
            Environment = Some(environment options execution) }
