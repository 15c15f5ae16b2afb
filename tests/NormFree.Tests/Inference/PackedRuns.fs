/// Runs of packed networks.
module NormFree.Tests.Inference.PackedRuns

open System
open Expecto
open NormFree.Inference
open NormFree.Inference.Model
open NormFree.Kernels.Simd
open NormFree.Tests.Kernels

let zeros count : float32[] = Array.zeroCreate count

let load set threads model = PackedNetwork.From(model, PackedOptions(Threads = threads, InstructionSet = set))

let logits (network: PackedNetwork) (images: float32[]) =
    let perImage = network.Model.Mean.Count * network.Height * network.Width
    let logits = zeros (images.Length / perImage * network.Classes)
    network.Run(images, logits)
    logits

let equalBits (actual: float32[]) (expected: float32[]) what =
    Expect.sequenceEqual (Comparison.bits actual) (Comparison.bits expected) what

let fails<'error when 'error :> exn> part action =
    Expect.throwsC action (fun error ->
        Expect.equal (error.GetType()) typeof<'error> "kind of error"
        Expect.stringContains error.Message part "message")

let best = InstructionSets.Best

/// A model of one class for images of one channel and side × side pixels.
let limitModel side (steps: PreprocessingStep list) (layers: PackedLayer list) =
    PackedModel(
        Architecture = "limits",
        Height = side,
        Width = side,
        Mean = [| 0.5f |],
        Deviation = [| 0.25f |],
        Preprocessing = List.toArray steps,
        Classes = [| "class" |],
        Layers = [| yield! layers; PackedClassifier("fc", 1, 1, zeros 1, zeros 1) |]
    )

let pool key kernel : PackedLayer = PackedMaxPool(key, kernel, 1, kernel / 2)

let affine key : PackedLayer = PackedAffine(key, 1, zeros 1, zeros 1, zeros 1, -infinityf, infinityf)
