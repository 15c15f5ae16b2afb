namespace NormFree.Networks

open System
open System.Collections.Generic
open System.IO
open System.Runtime.InteropServices
open NormFree.Data
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Runs
open NormFree.Spec
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

    let private formatName = "normfree-checkpoint"
    let private version = "3"
    let private versionWithOldNames = "2"
    let private prefix = "optimiser/"

    /// <summary>Whether a tensor of that name belongs to the network, not to its optimiser.</summary>
    let isOfNetwork (name: string) = not (name.StartsWith(prefix, StringComparison.Ordinal))

    let private add (writer: SafetensorsWriter) (name: string) (tensor: torch.Tensor) =
        writer.Add(
            name,
            TensorBytes.typeOf tensor.dtype,
            ReadOnlySpan tensor.shape,
            ReadOnlyMemory(TensorBytes.ofTensor tensor)
        )
        |> ignore

    let private steps = prefix + "steps"

    let private addState (writer: SafetensorsWriter) (optimisation: Optimisation) =
        for name, tensor in optimisation.State do
            add writer (prefix + name) tensor

        let count = BitConverter.GetBytes optimisation.Steps
        writer.Add(steps, DType.I64, ReadOnlySpan<int64>.Empty, ReadOnlyMemory count) |> ignore

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

    let private fail path where what remedy = raise (InvalidFileException(path, where, what, remedy))

    let private metadata path (file: SafetensorsFile) key =
        match file.Metadata.TryGetValue key with
        | true, text -> text
        | _ ->
            fail
                path
                "metadata"
                $"it has no {key}, so it is not a NormFree checkpoint"
                "Give a checkpoint that normfree train wrote"

    let private parsed path key (read: Result<'T, string>) : 'T =
        match read with
        | Ok value -> value
        | Error why ->
            fail
                path
                $"metadata '{key}'"
                $"it cannot be parsed: {why}"
                "Write the checkpoint again with this version of NormFree"

    let private json<'T> path file key : 'T =
        parsed path key (metadata path file key |> OldNames.renewFields path |> Json.read<'T>)

    let private state path file : TrainingState =
        metadata path file "state"
        |> OldNames.renewFields path
        |> OldNames.addFields
        |> Result.bind Json.read<TrainingState>
        |> parsed path "state"

    let private checkFormat path file =
        let format, found = metadata path file "format", metadata path file "version"

        if format <> formatName then
            fail
                path
                "metadata 'format'"
                $"it is {Quoted.Name format}, not '{formatName}'"
                "Give a checkpoint that normfree train wrote"

        if found <> version && found <> versionWithOldNames then
            fail
                path
                "metadata 'version'"
                $"it is version {found}, but this NormFree reads versions {versionWithOldNames} and {version}"
                "Use the version of NormFree that wrote it"

    /// The file must contain every tensor of the network in its shape, and no others.
    let private checkTensors path (spec: NetSpec) (file: SafetensorsFile) =
        let wanted = dict (Network.tensorShapes spec)

        let problems =
            [ for KeyValue(name, sides) in wanted do
                  match file.Find name with
                  | null -> $"{name} is missing"
                  | entry when not (Seq.toArray entry.Shape = sides) ->
                      let shape (sides: int64 seq) = "[" + String.Join(", ", sides) + "]"
                      $"{name} has shape {shape entry.Shape}, not {shape sides}"
                  | _ -> ()
              for entry in file.Tensors do
                  if isOfNetwork entry.Name && not (wanted.ContainsKey entry.Name) then
                      $"{entry.Name} is not a tensor of this network" ]

        if not problems.IsEmpty then
            let shown = problems |> Array.ofList |> Printable.List |> String.concat "; "
            fail path "tensors" $"they do not fit {spec.Name}: {shown}" "Give a checkpoint of this network"

    /// Longer specs are rejected before they are parsed: 4096 layers need less.
    [<Literal>]
    let private MaxSpecLength = 4_000_000

    /// The network's spec. It is checked against the file's tensors, so that creating the network allocates no more than the file contains.
    let private spec path file =
        let text = metadata path file "spec"

        if text.Length > MaxSpecLength then
            fail
                path
                "metadata 'spec'"
                $"it has {text.Length} characters; the limit is {MaxSpecLength}"
                "Give a checkpoint that normfree train wrote"

        let net: NetSpec = text |> OldNames.renewFields path |> OldSpec.read |> parsed path "spec"

        match Validation.validate net with
        | Ok spec ->
            checkTensors path spec file
            spec
        | Error errors ->
            let all = errors |> List.map string |> Array.ofList |> Printable.List |> String.concat "; "
            fail path "metadata 'spec'" $"it is not a network: {all}" "Write the checkpoint again"

    /// The image task of a network.
    let private task path (file: SafetensorsFile) (spec: NetSpec) : ImageTask =
        let task = json<ImageTask> path file "task"

        match TaskChecks.problems spec task with
        | [] -> task
        | problems ->
            fail path "metadata 'task'" (String.concat "; " problems) "Give a checkpoint that normfree train wrote"

    let private toTensor (file: SafetensorsFile) (entry: TensorEntry) =
        if (TensorBytes.tryType entry.DType).IsNone then
            fail
                file.Name
                $"tensor '{entry.Name}'"
                $"it contains {entry.DType.Name()}, which no network has"
                "Give a checkpoint that normfree train wrote"

        TensorBytes.toTensor entry.DType entry.Shape (file.ReadBytes entry)

    let private classifier (network: Network) =
        Set
            [ for described, _ in network.Parameters do
                  if Network.IsOfClassifier described then
                      described.Key ]

    let private loadInto path (file: SafetensorsFile) (network: Network) =
        checkTensors path network.Spec file
        network |> Network.fill (fun name -> toTensor file file[name])

    let private openFile path =
        let file = SafetensorsFile.Open path

        try
            checkFormat path file

            file.RequireChecksum()
            file
        with _ ->
            file.Dispose()
            reraise ()

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
        let network = Network.create dtype Rule.Corrected 0L (spec path file)

        try
            loadInto path file network

            { Network = network; ImageTask = task path file network.Spec; State = state path file }
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
        json<ImageTask> path file "task"

    /// <summary>Copies a checkpoint's weights into an existing network for these classes, as stage 2 starts from stage 1. If the checkpoint's classes
    /// are others, the classifier keeps its values, and the checkpoint's classes are returned.</summary>
    /// <remarks>Throws InvalidFileException, listing tensors that are missing, unexpected or have another shape.</remarks>
    let start (path: string) (classes: string[]) (network: Network) : string[] option =
        use file = openFile path
        let task = json<ImageTask> path file "task"
        let count = (spec path file).Classes

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

    let private restoreFrom path (file: SafetensorsFile) (optimisation: Optimisation) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let entry name =
            match file.Find(prefix + name) with
            | null ->
                fail
                    path
                    $"tensor '{prefix}{name}'"
                    "it is missing"
                    "Give a last checkpoint: a best one has no optimiser state to resume from"
            | entry -> entry

        let found = [ for name, tensor in optimisation.State -> tensor, entry name ]

        for tensor, entry in found do
            tensor.copy_ ((toTensor file entry).reshape tensor.shape) |> ignore

        optimisation.Steps <- (file.ReadAsInt64(entry "steps"))[0]

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
        check (spec path file) (json<ImageTask> path file "task") state
        loadInto path file network
        optimisation.StartEpoch state.TrainingCursor.Epoch
        restoreFrom path file optimisation
        state

    /// <summary>The recipe that a stage of a run was started with; None if no checkpoint of it can be read.</summary>
    let recipeOfRun (folder: RunFolder) stage =
        RunFolder.tryNewest folder stage (fun path -> Some (readState path).Recipe)
