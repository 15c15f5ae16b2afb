namespace NormFree.Training

open System
open System.Runtime.InteropServices
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open TorchSharp

/// <summary>Runs networks on tensors from safetensors files, to compare NormFree with other implementations.</summary>
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
            | Some index -> fail path $"value {index} of {values.Length} is {values[index]}"
            | None -> values, Seq.toArray entry.Shape

    let private requireSize path (shape: int64[]) (checkpoint: Checkpoint) =
        match NormFree.Spec.Validation.fits (int shape[2]) (int shape[3]) checkpoint.Network.Spec with
        | Ok _ -> ()
        | Error errors -> fail path (errors |> List.map string |> Array.ofList |> Printable.List |> String.concat "; ")

    let private save (path: string) (kind: DType) (shape: int64[]) (bytes: byte[]) =
        SafetensorsWriter().Add("logits", kind, ReadOnlySpan shape, ReadOnlyMemory bytes).Save path

    /// <summary>Reads <c>input</c> (N×3×H×W, normalised) and writes <c>logits</c> (N×classes), computed in float32.</summary>
    /// <remarks>Throws InvalidFileException if the input is missing, misshapen, not finite or of a size that the network does not support, and
    /// TrainingException if a logit is NaN or infinite. If it is cancelled, it throws OperationCanceledException and writes nothing.</remarks>
    let predict (network: LoadedNetwork) cancellation (inputPath: string) (outputPath: string) =
        let values, shape = input inputPath

        // The packed engine checks sizes itself. Torch accepts some that do not fit.
        match network.Resource with
        | :? Checkpoint as checkpoint -> requireSize inputPath shape checkpoint
        | _ -> ()

        let logits =
            try
                network.Logits (Array.map float32 values) (int shape[2]) (int shape[3]) cancellation
            with :? ArgumentException as error ->
                fail inputPath $"the network does not support its images: {error.Message}"

        FiniteLogits.require inputPath network.ImageTask.Classes logits

        MemoryMarshal.AsBytes(ReadOnlySpan logits).ToArray()
        |> save outputPath DType.F32 [| shape[0]; int64 network.ImageTask.Classes.Length |]

    /// <summary>The same in float64 for a checkpoint, with the given engine. Throws as <c>predict</c> does.</summary>
    let predictDouble (execution: Execution) (checkpointPath: string) (inputPath: string) (outputPath: string) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        use checkpoint = Checkpoint.load torch.ScalarType.Float64 checkpointPath |> Checkpoint.running execution

        let values, shape = input inputPath
        requireSize inputPath shape checkpoint
        let logits = checkpoint.Network.Forward(torch.tensor(values).reshape shape, Evaluate)

        FiniteLogits.require
            inputPath
            checkpoint.ImageTask.Classes
            (logits.``to``(torch.ScalarType.Float32).data<float32>().ToArray())

        save outputPath DType.F64 logits.shape (TensorBytes.ofTensor logits)
