namespace NormFree.Benchmarks

open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs

/// <summary>The packed engine with a batch of images.</summary>
[<Sealed>]
type internal PackedInference(model: PackedModel, threads: int, images: float32[]) =

    let network = PackedNetwork.From(model, PackedOptions(Threads = threads))
    let size = model.Mean.Count * model.Height * model.Width
    let logits: float32[] = Array.zeroCreate (images.Length / size * network.Classes)

    interface IInference with
        member _.Layout = None
        member _.Run() = network.Run(images, logits)
        member _.Logits = logits
        member _.Dispose() = network.Dispose()

/// <summary>The engines that this library has, as <see cref="M:NormFree.Benchmarks.InferenceBench.measure"/> starts them: a network and images
/// (N×3×S×S, normalised) in, an engine for each layout of maps out.</summary>
/// <remarks>They throw TrainingException where the network cannot be packed.</remarks>
[<RequireQualifiedAccess>]
module InferenceEngines =

    /// <summary>NormFree's own, on so many threads.</summary>
    let packed (threads: int) (checkpoint: Checkpoint) (images: float32[]) : (unit -> IInference) list =
        let model = (Packing.ofCheckpoint checkpoint).Model
        [ fun () -> new PackedInference(model, threads, images) ]

    /// <summary>libtorch in float32, on torch's threads, in both layouts.</summary>
    let torch (checkpoint: Checkpoint) (images: float32[]) : (unit -> IInference) list =
        let model = (Packing.ofCheckpoint checkpoint).Model

        [ for layout in [ TorchLayout.Contiguous; TorchLayout.ChannelsLast ] do
              fun () -> new TorchInference(model, layout, images) ]
