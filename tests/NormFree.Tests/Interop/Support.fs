/// What the tests of NormFree.Interop share.
module NormFree.Tests.Interop.Support

open System
open System.IO
open System.Text.Json.Serialization
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open TorchSharp

/// The networks of the fixtures: ReActNet-small at width 0.34, both binary.
let small norm =
    ReActNet.reactNetSmall { Width = 0.34; Depth = 1.0 } CifarStem
    |> Net.withClasses 10
    |> Net.withNorm norm
    |> Net.withBinarise ActivationsAndWeights

/// The images that make.py gives its networks.
let waves (count: int) (size: int) =
    let values = Array.init (count * 3 * size * size) (fun i -> 1.5 * sin (float i * 0.37))
    torch.tensor(values).reshape(int64 count, 3L, int64 size, int64 size)

/// The network of an import that must succeed, with its report.
let imported strictness spec (file: ForeignFile) =
    match Import.network { ImportRules.Default with Strictness = strictness } spec file with
    | Ok found -> found
    | Error report -> failtest $"{report}"

/// The report of an import that must fail.
let refused strictness spec (file: ForeignFile) =
    match Import.network { ImportRules.Default with Strictness = strictness } spec file with
    | Ok _ -> failtest "the file was accepted"
    | Error report -> report

/// A network with a task, as exports want it.
let asCheckpoint size (network: Network) : Checkpoint =
    { Network = network
      ImageTask = Import.task network.Spec size
      State = { TrainingState.Of(Recipe.published, "test") with Threads = 1; Execution = Some network.Execution } }

/// A network at its start, all of its tensors filled by the golden files' formula: batch norms that do something, weights of either sign.
let filled (dtype: torch.ScalarType) spec =
    let network = Network.create dtype Rule.Corrected 1L spec
    GoldenFiles.fill network
    network

/// Logits in the network's own type.
let logits (network: Network) (images: torch.Tensor) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let dtype = (snd network.Parameters.Head).dtype
    network.Forward(images.``to`` dtype, Evaluate).``to``(torch.ScalarType.Float64).MoveToOuterDisposeScope()

/// A network in float64 with the values of another.
let doubled (network: Network) =
    let values = dict network.Tensors
    let twin = Network.create torch.ScalarType.Float64 Rule.Corrected 0L network.Spec
    twin |> Network.fill (fun key -> values[key])
    twin

/// A safetensors file with a network's tensors, some of them changed.
let file
    (folder: NormFree.Tests.Data.Support.TempFolder)
    (change: (string * DType * int64[] * byte[]) -> (string * DType * int64[] * byte[]) list)
    (network: Network)
    =
    let path = folder.File "tensors.safetensors"
    let writer = SafetensorsWriter().Describe("format", "pt")

    for key, tensor in network.Tensors do
        for key, dtype, shape, bytes in
            change (key, TensorBytes.typeOf tensor.dtype, tensor.shape, TensorBytes.ofTensor tensor) do
            writer.Add(key, dtype, ReadOnlySpan shape, ReadOnlyMemory bytes) |> ignore

    writer.Save path
    ForeignFile.OpenSafetensors path

let f32 = torch.ScalarType.Float32
