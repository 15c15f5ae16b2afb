namespace NormFree.Interop

open System
open System.Collections.Generic
open NormFree.Formats.Onnx
open NormFree.Formats.PyTorch
open NormFree.Formats.Safetensors
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open TorchSharp

/// <summary>What came of reading an exported file back and comparing it with the network.</summary>
type Comparison =
    {
        /// What was compared, in words.
        What: string
        /// The largest difference of any value; NaN where one is not a number and the other is.
        Largest: float
        /// Whether everything is as it has to be.
        Agrees: bool
        /// What one should know of the difference; empty where there is nothing.
        Remark: string
    }

/// <summary>Networks as files for others. Every function writes the file whole or not at all, reads it back and compares.</summary>
/// <remarks>They throw IOException or UnauthorizedAccessException where the file cannot be written; the one before it is intact then.</remarks>
/// <example><code>
/// use checkpoint = Checkpoint.load (Checkpoint.precision path) path
/// let comparison = Export.onnx AnyNumber checkpoint "network.onnx"
/// printfn $"{comparison.What}: largest difference {comparison.Largest}"
/// </code></example>
[<RequireQualifiedAccess>]
module Export =

    /// Logits of the same network from sums in another order, relative to the largest.
    let private tolerance = 1e-4

    let private largest (a: torch.Tensor) (b: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        let a, b = a.``to`` torch.ScalarType.Float64, b.``to`` torch.ScalarType.Float64
        if a.numel () = 0L then 0.0 else (a - b).abs().max().item<float>()

    /// Compares tensors with those of a file: names, types and shapes must be the same, and every bit.
    let private compare (network: Network) (file: ForeignFile) : Comparison =
        use _ = torch.NewDisposeScope()
        let found = dict [ for tensor in file.Tensors -> tensor.Key, tensor ]

        let differences =
            [ for key, tensor in network.Tensors do
                  match found.TryGetValue key with
                  | true, read when
                      read.DType = TensorBytes.typeOf tensor.dtype && read.Shape = List.ofArray tensor.shape
                      ->
                      let bytes = read.Read()

                      if not (bytes.AsSpan().SequenceEqual(TensorBytes.ofTensor tensor)) then
                          largest (TensorBytes.toTensor read.DType read.Shape bytes) tensor
                  | _ -> nan ]

        { What = $"{network.Tensors.Length} tensors of the file, read back, with the network's"
          Largest = if differences.IsEmpty then 0.0 else List.max differences
          Agrees = differences.IsEmpty && file.Tensors.Length = network.Tensors.Length
          Remark =
            if differences.IsEmpty then
                "the same bit for bit"
            else
                $"{differences.Length} tensors differ" }

    /// <summary>Writes a state dictionary in PyTorch's zip format: <c>torch.load</c> reads it, with <c>weights_only=True</c> too.</summary>
    /// <remarks>Throws InvalidOperationException past 4 GiB.</remarks>
    let pytorch (checkpoint: Checkpoint) (path: string) : Comparison =
        let writer = PyTorchWriter()

        for name, tensor in checkpoint.Network.Tensors do
            let dtype, bytes = TensorBytes.typeOf tensor.dtype, TensorBytes.ofTensor tensor
            writer.Add(name, dtype, ReadOnlySpan tensor.shape, ReadOnlyMemory bytes) |> ignore

        writer.Save path
        use file = ForeignFile.OpenPyTorch path
        compare checkpoint.Network file

    /// <summary>Writes safetensors: a checkpoint without the optimiser's state, so the spec, the task and the training are in its metadata.</summary>
    let safetensors (checkpoint: Checkpoint) (path: string) : Comparison =
        Checkpoint.save path None checkpoint
        use file = ForeignFile.OpenSafetensors path
        compare checkpoint.Network file

    /// <summary>Writes an ONNX file, opset 17, float32: see <see cref="M:NormFree.Interop.OnnxLowering.lower"/>.</summary>
    /// <remarks>
    /// The file is read back, its graph run with torch operations on an image of noise, and its logits compared with the network's. It agrees
    /// within 1e-4 of the largest logit, or where a value lies so close to 0 that rounding may turn its sign.
    /// </remarks>
    let onnx (batch: OnnxBatch) (checkpoint: Checkpoint) (path: string) : Comparison =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        (OnnxLowering.lower batch checkpoint).Save path
        let image = Verification.noise checkpoint 1
        let ours = checkpoint.Network.Forward(image, Evaluate)
        let result = OnnxEvaluation.run path (OnnxModel.Open path) image
        let difference = largest result.Logits ours
        let within = difference <= tolerance * ours.abs().max().``to``(torch.ScalarType.Float64).item<float>()

        { What =
            "logits of the file's graph, read back and run with torch operations on an image of noise, with the network's"
          Largest = difference
          Agrees = within || result.NearZero > 0L
          Remark =
            if result.Signs = 0L then
                ""
            else
                $"{result.NearZero} of {result.Signs} values lie within {OnnxEvaluation.nearZero} of 0, where rounding may turn a sign" }

    /// <summary>Writes a packed file: one bit a weight, all else of a layer folded together, for the packed engine.</summary>
    /// <remarks>
    /// The file is read back and run by that engine, each layer on the network's own input for an image of noise: every sign must be the same, and
    /// results may differ by 1e-5 of the largest. Throws TrainingException where the network's weights are not binary.
    /// </remarks>
    let packed (checkpoint: Checkpoint) (path: string) : Comparison =
        PackedFile.Write(path, (Packing.ofCheckpoint checkpoint).Model)
        use network = PackedNetwork.Load path
        use image = Verification.noise checkpoint 1
        let report = Verification.run checkpoint network.Model (PackedRunner.ofNetwork network) image

        { What =
            $"{report.Layers.Length} layers of the file, read back and run on the network's own values for an image of noise, with the network's"
          Largest = report.Layers |> List.map _.Difference |> List.max
          Agrees = report.Mismatches.IsEmpty
          Remark =
            $"of a layer's largest value; {report.Layers |> List.sumBy _.Differing} of {report.Layers |> List.sumBy _.Signs} signs differ, \
              {report.ZeroWeights} weights of 0 became +1" }
