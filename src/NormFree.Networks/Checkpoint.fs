namespace NormFree.Networks

open System
open System.Collections.Generic
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Runs
open NormFree.Spec
open NormFree.Networks.CheckpointFile
open TorchSharp

/// <summary>A network with its task and training state.</summary>
/// <remarks>Dispose it to free its network.</remarks>
type Checkpoint =
    { Network: Network
      ImageTask: ImageTask
      State: TrainingState }

    interface IDisposable with
        member c.Dispose() = (c.Network :> IDisposable).Dispose()

/// <summary>Checkpoint files: safetensors, with the spec and the state of the training in the metadata.</summary>
/// <remarks>
/// Tensors have the names of published checkpoints. The optimiser's are <c>optimiser/parameter/slot</c>; only a <c>last</c> checkpoint has them.
/// Metadata: <c>format</c> = normfree-checkpoint, <c>version</c>, as JSON <c>spec</c>, <c>task</c>, <c>state</c>, and the <c>checksum</c> of all
/// metadata and tensors, without which a file counts as damaged. Version 2, which has old field names, is still read.
/// </remarks>
[<RequireQualifiedAccess>]
module Checkpoint =

    /// <summary>Whether a tensor of that name belongs to the network, not to its optimiser.</summary>
    let isOfNetwork (name: string) = CheckpointFile.isOfNetwork name

    let private add (writer: SafetensorsWriter) (name: string) (tensor: torch.Tensor) =
        writer.Add(
            name,
            TensorBytes.typeOf tensor.dtype,
            ReadOnlySpan tensor.shape,
            ReadOnlyMemory(TensorBytes.ofTensor tensor)
        )
        |> ignore

    let private stepsName = prefix + "steps"

    let private addState (writer: SafetensorsWriter) (optimisation: Optimisation) =
        for name, tensor in optimisation.State do
            add writer (prefix + name) tensor

        let count = BitConverter.GetBytes optimisation.Steps
        writer.Add(stepsName, DType.I64, ReadOnlySpan<int64>.Empty, ReadOnlyMemory count) |> ignore

    /// <summary>A checkpoint in memory, as <c>save</c> writes it, with the optimiser's state if one is given. It copies all tensors.</summary>
    let prepare (optimisation: Optimisation option) (checkpoint: Checkpoint) : SafetensorsWriter =
        let writer =
            SafetensorsWriter()
                .Describe("format", formatName)
                .Describe("version", version)
                .Describe("spec", Json.write checkpoint.Network.Spec)
                .Describe("task", Json.write checkpoint.ImageTask)
                .Describe("state", Json.write checkpoint.State)

        checkpoint.Network.Tensors |> List.iter (fun (name, tensor) -> add writer name tensor)
        optimisation |> Option.iter (addState writer)
        writer.DescribeChecksum()

    /// <summary>Writes a checkpoint atomically, with the optimiser's state if one is given.</summary>
    /// <remarks>Throws IOException or UnauthorizedAccessException if the file cannot be written; the previous file is intact then.</remarks>
    let save (path: string) (optimisation: Optimisation option) (checkpoint: Checkpoint) =
        (prepare optimisation checkpoint).Save path

    let private classifier (network: Network) =
        Set
            [ for described, _ in network.Parameters do
                  if Network.IsOfClassifier described then
                      described.Key ]

    let private loadInto path (file: SafetensorsFile) (network: Network) =
        checkTensors path network.Spec file
        network |> Network.fill (fun name -> toTensor file file[name])

    /// <summary>The training state of a checkpoint.</summary>
    /// <remarks>Throws InvalidFileException if the file is not a valid checkpoint, IOException if it cannot be read.</remarks>
    let readState (path: string) : TrainingState =
        use file = openFile path
        state path file

    /// <summary>The spec of a checkpoint's network.</summary>
    /// <remarks>Throws InvalidFileException if the file is not a valid checkpoint, IOException if it cannot be read.</remarks>
    let readSpec (path: string) : NetSpec =
        use file = openFile path
        spec path file

    /// <summary>The element type of a checkpoint's weights, with which <c>load</c> converts nothing.</summary>
    /// <remarks>float64 if the file has any float64 weight, else float32. Throws InvalidFileException if the file is not a valid checkpoint,
    /// IOException if it cannot be read.</remarks>
    let precision (path: string) : torch.ScalarType =
        use file = openFile path

        let isDouble (entry: TensorEntry) = entry.DType = DType.F64 && isOfNetwork entry.Name

        if Seq.exists isDouble file.Tensors then
            torch.ScalarType.Float64
        else
            torch.ScalarType.Float32

    /// <summary>Reads a checkpoint into a network of the given type.</summary>
    /// <remarks>Throws InvalidFileException if the file is not a valid checkpoint, IOException if it cannot be read.</remarks>
    let load (dtype: torch.ScalarType) (path: string) : Checkpoint =
        use file = openFile path
        let spec, task = specAndTask path file
        let state = state path file
        let network = Network.create dtype Rule.Corrected 0L spec

        try
            loadInto path file network
            { Network = network; ImageTask = task; State = state }
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()

    /// <summary>The checkpoint with another execution of its network. Throws TrainingException if its device does not support that.</summary>
    let running (execution: Execution) (checkpoint: Checkpoint) =
        { checkpoint with Network = Network.running execution checkpoint.Network }

    /// <summary>The images that a checkpoint's network was trained on, and their preprocessing.</summary>
    /// <remarks>Throws InvalidFileException if the file is not a valid checkpoint, IOException if it cannot be read.</remarks>
    let readTask (path: string) : ImageTask =
        use file = openFile path
        snd (specAndTask path file)

    /// <summary>Copies a checkpoint's weights into an existing network for these classes, as stage 2 starts from stage 1. If the checkpoint's classes
    /// are others, the classifier keeps its values, and the checkpoint's classes are returned.</summary>
    /// <remarks>Throws InvalidFileException, listing tensors that are missing, unexpected or have another shape.</remarks>
    let start (path: string) (classes: string[]) (network: Network) : string[] option =
        use file = openFile path
        let spec, task = specAndTask path file
        let count = spec.Classes

        let isSame =
            count = classes.Length
            && (task.Classes = classes || ImportedNetwork.canHave classes task.Dataset task.Classes)

        if isSame then
            loadInto path file network
            None
        else
            checkTensors path (Net.withClasses count network.Spec) file
            let kept = classifier network
            network |> Network.fillWhere (kept.Contains >> not) (fun name -> toTensor file file[name])
            Some task.Classes

    /// More steps than any training has.
    let private maxSteps = 1L <<< 53

    let private restoreFrom path (file: SafetensorsFile) (optimisation: Optimisation) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let reject name what = fail path $"tensor '{prefix}{name}'" what "Give a last checkpoint of this network"

        let entry name =
            match file.Find(prefix + name) with
            | null ->
                fail
                    path
                    $"tensor '{prefix}{name}'"
                    "it is missing"
                    "Give a last checkpoint: a best one has no optimiser state to resume from"
            | entry -> entry

        let values (entry: TensorEntry) = Seq.fold (*) 1L entry.Shape

        let found =
            [ for name, tensor in optimisation.State do
                  let entry = entry name

                  if values entry <> tensor.numel () then
                      reject name $"it has {values entry} values, not {tensor.numel ()}"

                  tensor, entry ]

        let steps =
            match file.ReadAsInt64(entry "steps") with
            | [| count |] when count >= 0L && count <= maxSteps -> count
            | _ -> reject "steps" $"it is not one number from 0 to {maxSteps}"

        for tensor, entry in found do
            tensor.copy_ ((toTensor file entry).reshape tensor.shape) |> ignore

        optimisation.Steps <- steps

    /// <summary>Restores the optimiser's state from a <c>last</c> checkpoint.</summary>
    /// <remarks>Throws InvalidFileException if the checkpoint has none.</remarks>
    let restore (path: string) (optimisation: Optimisation) =
        use file = openFile path
        restoreFrom path file optimisation

    /// <summary>Restores network and optimiser from a <c>last</c> checkpoint, after <c>check</c> has accepted its spec, task and state.</summary>
    /// <remarks>Throws what <c>check</c> throws, and InvalidFileException or IOException if the training cannot resume from the file.</remarks>
    let resume
        (path: string)
        (check: NetSpec -> ImageTask -> TrainingState -> unit)
        (network: Network)
        (optimisation: Optimisation)
        : TrainingState =
        use file = openFile path
        let state = state path file
        let spec, task = specAndTask path file
        check spec task state
        loadInto path file network
        optimisation.StartEpoch state.TrainingCursor.Epoch
        restoreFrom path file optimisation
        state

    /// <summary>The recipe that a stage of a run was started with; None if no checkpoint of it can be read.</summary>
    let recipeOfRun (folder: RunFolder) stage =
        RunFolder.tryNewest folder stage (fun path -> Some (readState path).Recipe)
