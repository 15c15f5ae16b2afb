namespace NormFree.Training

open System
open System.Runtime.InteropServices
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>The whole resolved configuration of a run, for people: everything that its results depend on.</summary>
[<RequireQualifiedAccess>]
module Configuration =

    let private network (net: NetSpec) =
        [ "architecture", net.Name
          "stem", $"{net.Stem.Kernel}×{net.Stem.Kernel}, stride {net.Stem.Stride}, {net.Stem.Channels} channels"
          "classes", string net.Classes
          match net.Body with
          | Binary body ->
              "norm", Names.norm body.Norm

              match body.Norm with
              | BnFree alpha
              | Scaled alpha -> "alpha", string alpha
              | BatchNorm
              | NoNorm -> ()

              "layers", string body.Layers.Length
              "expected variance", Names.expectedVariance body.ExpectedVariance
              "binary gain", Names.binaryGain body.BinaryGain
          | FullPrecision blocks -> "layers", string (2 * blocks.Length) ]

    let private data (dataset: Dataset) =
        [ "data set", dataset.Name
          "image size", $"{dataset.Size}×{dataset.Size}"
          "training images", string dataset.Train.Count
          "test images", string dataset.Test.Count
          "augmentation",
          (if dataset.Augmentation.Train.IsEmpty then
               "none"
           else
               Json.write dataset.Augmentation.Train) ]

    /// <summary>A recipe's settings, each name led by the stage's.</summary>
    let recipe stage (recipe: Recipe) =
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
          "held out", string recipe.HeldOut
          "seed", string recipe.Seed
          for deviation in Deviation.all do
              $"deviation {deviation.Number}, {deviation.Name}", Json.name (deviation.Of recipe.Deviations) ]
        |> List.map (fun (name, value) -> $"{stage}: {name}", value)

    /// Reports show these apart from what the run was asked for, by their prefix.
    let private environment (device: Device) (execution: Execution) =
        [ "NormFree", BuildVersion.normFree
          "TorchSharp", BuildVersion.ofAssembly typeof<torch.Tensor>
          ".NET", Environment.Version.ToString()
          "system", RuntimeInformation.OSDescription
          "processors", string Environment.ProcessorCount
          "processor", Machine.arithmetic.Value
          "device", Json.name device
          match device, Machine.gpu.Value with
          | Cuda, Some gpu -> "gpu", gpu
          | _ -> ()
          "engine", Json.name execution.Engine
          // A packed network has no third value, and neither have the fused engine's bits.
          "deviation 13, sign(0)",
          (match execution.Engine with
           | Fused -> "+1"
           | Composite -> "0")
          "precision", Json.name execution.Precision
          "torch threads", string (torch.get_num_threads ()) ]
        |> List.map (fun (name, value) -> "environment." + name, value)

    /// <summary>What a run of this network on these images starts with; each stage adds its recipe.</summary>
    let describe (device: Device) (execution: Execution) (division: BatchPartition) net dataset =
        network net
        @ data dataset
        @ environment device execution
        @ [ "environment.ranks", string division.Ranks
            "environment.accumulated parts", string division.Accumulate ]

    /// <summary>Each time that the run went on with other arithmetic or rates.</summary>
    let changes (changes: string list) =
        [ for i, change in List.indexed changes -> $"environment.changed ({i + 1})", change ]
