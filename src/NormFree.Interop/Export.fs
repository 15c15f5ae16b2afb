namespace NormFree.Interop

open System
open System.IO
open NormFree.Archives.PyTorch
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open TorchSharp

/// <summary>The result of comparing an exported file with the network.</summary>
type Comparison =
    {
        /// What was compared.
        What: string
        /// The largest absolute difference of any value; NaN if a value or a difference is not finite.
        Largest: float
        /// Whether the file agrees with the network. If not, the file was not written.
        Agrees: bool
        /// An explanation of the difference; may be empty.
        Remark: string
    }

/// <summary>Exports networks to other formats. Each function writes a temporary file, reads it back and compares it with the network.</summary>
/// <remarks>
/// Only a file that agrees replaces the target, so a failure leaves the old file as it was. The functions throw IOException or
/// UnauthorizedAccessException if the file cannot be written.
/// </remarks>
/// <example><code>
/// use checkpoint = Checkpoint.load (Checkpoint.precision path) path
/// let comparison = Export.safetensors checkpoint "network.safetensors"
/// printfn $"{comparison.What}: largest difference {comparison.Largest}"
/// </code></example>
[<RequireQualifiedAccess>]
module Export =

    /// The limit for differences of logits from rounding in another order, relative to the largest logit.
    let private tolerance = 1e-4

    let private largest (a: torch.Tensor) (b: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        let a, b = a.``to`` torch.ScalarType.Float64, b.``to`` torch.ScalarType.Float64
        if a.numel () = 0L then 0.0 else (a - b).abs().max().item<float>()

    /// Writes a temporary file and replaces the target by it only if the comparison agrees.
    let private verified (path: string) (write: string -> unit) (compare: string -> Comparison) : Comparison =
        let result = ref None

        AtomicFile.Replace(
            path,
            fun temporary ->
                write temporary
                let comparison = compare temporary
                result.Value <- Some comparison
                comparison.Agrees
        )
        |> ignore

        result.Value.Value

    /// Compares the tensors of a file with the network's, under the names and in the shapes of a layout: every bit must be equal.
    let private compareIn
        (layout: (string * torch.Tensor) list -> (string * torch.Tensor) list)
        (network: Network)
        file
        : Comparison =
        use _ = torch.NewDisposeScope()
        let found = dict [ for tensor in (file: ForeignFile).Tensors -> tensor.Key, tensor ]

        let differences =
            [ for key, tensor in layout network.Tensors do
                  match found.TryGetValue key with
                  | true, read when
                      read.DType = TensorBytes.typeOf tensor.dtype && read.Shape = List.ofArray tensor.shape
                      ->
                      let bytes = read.Read()

                      if not (bytes.AsSpan().SequenceEqual(TensorBytes.ofTensor tensor)) then
                          largest (TensorBytes.toTensor read.DType read.Shape bytes) tensor
                  | _ -> nan ]

        { What = $"{network.Tensors.Length} tensors of the file with the network's"
          Largest = if differences.IsEmpty then 0.0 else List.max differences
          Agrees = differences.IsEmpty && file.Tensors.Length = network.Tensors.Length
          Remark =
            if differences.IsEmpty then
                "equal bit for bit"
            else
                $"{differences.Length} tensors differ" }

    let private compare network file = compareIn id network file

    /// The keys of one-bit filters: those of binary convolutions whose weights stage 2 binarises.
    let private oneBitFilters (net: NetSpec) =
        set
            [ for layer in Lowering.layers net do
                  for conv, _ in layer.Convolution.Convolutions do
                      if conv.Weight = OneBit then
                          $"{conv.Key}.weight" ]

    /// Flat one-bit filters: N×1 in row-major order, named <c>weights</c>.
    let private flat net (tensors: (string * torch.Tensor) list) =
        let filters = oneBitFilters net

        [ for key, tensor in tensors ->
              if filters.Contains key then
                  key + "s", tensor.detach().reshape(-1L, 1L)
              else
                  key, tensor ]

    let private writePyTorch layout (checkpoint: Checkpoint) (path: string) : Comparison =
        use _ = torch.NewDisposeScope()
        let writer = PyTorchWriter()

        for name, tensor: torch.Tensor in layout checkpoint.Network.Tensors do
            let dtype, bytes = TensorBytes.typeOf tensor.dtype, TensorBytes.ofTensor tensor
            writer.Add(name, dtype, ReadOnlySpan tensor.shape, ReadOnlyMemory bytes) |> ignore

        verified path writer.Save (fun written ->
            use file = ForeignFile.OpenPyTorch written
            compareIn layout checkpoint.Network file)

    /// <summary>Writes a state dictionary in PyTorch's zip format for <c>torch.load(weights_only=True)</c>.</summary>
    /// <remarks>Throws InvalidOperationException above 4 GiB.</remarks>
    let pytorch (checkpoint: Checkpoint) (path: string) : Comparison = writePyTorch id checkpoint path

    /// <summary>The same with one-bit filters of N×1 named <c>weights</c>, as the code of ReActNet's MobileNet (<c>reactnet-a</c>)
    /// and of Bi-Real Net loads them with <c>strict=True</c>. ReActNet's ResNet loads the plain layout.</summary>
    /// <remarks>Throws InvalidOperationException above 4 GiB.</remarks>
    let pytorchFlat (checkpoint: Checkpoint) (path: string) : Comparison =
        writePyTorch (flat checkpoint.Network.Spec) checkpoint path

    /// <summary>Writes a checkpoint without the optimizer's state; its metadata holds the spec, the task and the state of the training.</summary>
    let safetensors (checkpoint: Checkpoint) (path: string) : Comparison =
        let write file = Checkpoint.save file None checkpoint

        verified path write (fun written ->
            use file = ForeignFile.OpenSafetensors written
            compare checkpoint.Network file)

    /// Compares the logits of an ONNX file with the network's, on an image of noise.
    let private compareLogits runtime model (checkpoint: Checkpoint) (file: string) : Comparison =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let image = Verification.noise checkpoint 1
        let ours = checkpoint.Network.Forward(image, Evaluate)
        let theirs = OnnxVerification.logits runtime (File.ReadAllBytes file) image
        let difference = largest (torch.tensor(theirs).reshape ours.shape) ours
        let within = difference <= tolerance * ours.abs().max().``to``(torch.ScalarType.Float64).item<float>()

        let signs =
            if within || not (Double.IsFinite difference) then
                { NearZero = 0L; Total = 0L }
            else
                OnnxVerification.signInputs runtime model image

        { What = "logits of the file in the ONNX runtime with the network's, on an image of noise"
          Largest = difference
          Agrees = within || signs.NearZero > 0L
          Remark =
            if signs.Total = 0L then
                ""
            else
                $"{signs.NearZero} of {signs.Total} inputs of signs are within {OnnxVerification.nearZero} of 0, where rounding can flip a sign" }

    /// <summary>Writes an ONNX file, opset 17, float32; see <see cref="M:NormFree.Interop.OnnxLowering.lower"/>.</summary>
    /// <remarks>
    /// The runtime runs the file on an image of noise. Its logits must equal the network's within 1e-4 of the largest logit, unless an input of a
    /// sign is so close to 0 that rounding can flip the sign. Logits that are not finite never agree. To write a file without a runtime, save
    /// the model of <c>OnnxLowering.lower</c>.
    /// </remarks>
    let onnx (runtime: IOnnxRuntime) (batch: OnnxBatch) (checkpoint: Checkpoint) (path: string) : Comparison =
        let model = OnnxLowering.lower batch checkpoint
        verified path model.Save (compareLogits runtime model checkpoint)

    /// Compares the layers of a packed file with the network's, on an image of noise.
    let private compareLayers (checkpoint: Checkpoint) (file: string) : Comparison =
        use network = PackedNetwork.Load file
        use image = Verification.noise checkpoint 1
        let report = Verification.run checkpoint network.Model (PackedRunner.ofNetwork network) image

        { What =
            $"{report.Layers.Length} layers of the file with the network's, each on the network's own values for an image of noise"
          Largest = report.Layers |> List.map _.Difference |> List.max
          Agrees = report.Mismatches.IsEmpty
          Remark =
            $"relative to the layer's largest value; {report.Layers |> List.sumBy _.Differing} of {report.Layers |> List.sumBy _.Signs} signs \
              differ, {report.ZeroWeights} weights of 0 became +1" }

    /// <summary>Writes a packed file for NormFree.Inference: one bit per weight, everything else of a layer folded into an epilogue.</summary>
    /// <remarks>
    /// The packed engine runs each layer of the file on the network's own input for an image of noise: every sign must be equal, and results may
    /// differ by 1e-5 of the largest. Throws TrainingException if the network's weights are not binary.
    /// </remarks>
    let packed (checkpoint: Checkpoint) (path: string) : Comparison =
        let write (file: string) = PackedFile.Write(file, (Packing.ofCheckpoint checkpoint).Model)
        verified path write (compareLayers checkpoint)
