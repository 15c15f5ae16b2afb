namespace NormFree.Training

open System
open System.Runtime.InteropServices
open NormFree.Formats
open NormFree.Formats.Safetensors
open TorchSharp

/// <summary>Networks on plain tensors in files: to compare NormFree with other implementations.</summary>
[<RequireQualifiedAccess>]
module RawTensors =

    let private fail path what =
        raise (InvalidFileException(path, "tensor 'input'", what, "Write N×3×H×W finite floats under the name input"))

    let private input path =
        use file = SafetensorsFile.Open path

        match file.Find "input" with
        | null -> fail path "it is missing"
        | entry when entry.Shape.Count <> 4 || entry.Shape[1] <> 3L || entry.Elements = 0L ->
            let shape = String.Join("×", entry.Shape)
            fail path $"its shape is {shape}"
        | entry ->
            let values = file.ReadAsDouble entry

            match Array.tryFindIndex (Double.IsFinite >> not) values with
            | Some place -> fail path $"value {place} of {values.Length} is {values[place]}"
            | None -> torch.tensor(values).reshape(Seq.toArray entry.Shape)

    let private requireFit (checkpoint: Checkpoint) path (images: torch.Tensor) =
        match NormFree.Spec.Validation.fits (int images.shape[2]) (int images.shape[3]) checkpoint.Network.Spec with
        | Ok _ -> ()
        | Error errors -> fail path (errors |> List.map string |> String.concat "; ")

    /// <summary>Reads <c>input</c> (N×3×H×W, normalised) and writes <c>logits</c> (N×classes), computed in the given type and way.</summary>
    let predict
        (execution: Execution)
        (dtype: torch.ScalarType)
        (checkpointPath: string)
        (inputPath: string)
        (outputPath: string)
        =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        use checkpoint = Checkpoint.load dtype checkpointPath |> Checkpoint.running execution
        let images = input inputPath
        requireFit checkpoint inputPath images
        let logits = checkpoint.Network.Forward(images.``to`` dtype, Evaluate).contiguous()
        let kind = if dtype = torch.ScalarType.Float64 then DType.F64 else DType.F32

        SafetensorsWriter().Add("logits", kind, ReadOnlySpan logits.shape, ReadOnlyMemory(logits.bytes.ToArray())).Save
            outputPath
