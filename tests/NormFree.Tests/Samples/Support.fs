/// Packed networks and images for the samples.
module NormFree.Tests.Samples.Support

open System
open NormFree.Data
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Kernels.Simd
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Spec
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Interop
open TorchSharp

/// A network with random weights, packed.
let pack size net =
    use network =
        net
        |> Net.withBinarise ActivationsAndWeights
        |> Networks.trained torch.ScalarType.Float32 3L
        |> Network.running Execution.Portable

    (Packing.ofCheckpoint (Support.asCheckpoint size network)).Model

/// Writes a packed file.
let write (folder: TempFolder) name (model: PackedModel) =
    let path = folder.File name
    PackedFile.Write(path, model)
    path

/// A drawn image of a synthetic class, enlarged to this size.
let drawn number width height =
    match (Synthetic.dataset 7L 10 10).Train.Load number with
    | Ok image -> Resample.resize width height image
    | Error problem -> invalidOp $"{problem}"

/// The classes with their probabilities, most probable first, computed within this process.
let expected (instructions: InstructionSet) (model: PackedModel) (image: Image) =
    use network = PackedNetwork.From(model, PackedOptions(Threads = 1, InstructionSet = instructions))
    let logits: float32[] = Array.zeroCreate network.Classes
    network.Run(ReadOnlySpan(ImageInput.Of(model, image.Pixels, image.Height, image.Width)), Span logits)
    let powers = logits |> Array.map (fun logit -> exp (float (logit - Array.max logits)))

    Seq.zip model.Classes powers
    |> Seq.map (fun (name, power) -> name, power / Array.sum powers)
    |> Seq.sortByDescending snd
    |> List.ofSeq
