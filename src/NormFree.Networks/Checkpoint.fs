namespace NormFree.Networks

open System
open System.Collections.Generic
open System.IO
open System.Runtime.InteropServices
open System.Text.Json.Serialization
open NormFree.Data
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>What a network must know of its images, kept with its weights so that they can be used without the data set.</summary>
type ImageTask =
    {
        /// The data set's name.
        Dataset: string
        /// Names of the classes, by number.
        Classes: string[]
        /// Pixels along a side.
        Size: int
        Normalisation: Normalisation
        /// How the test images are brought to Size×Size; empty where they have that size.
        Preprocessing: Augment list
    }

    /// <summary>What a network that is trained on a data set must know.</summary>
    static member Of(dataset: Dataset) : ImageTask =
        { Dataset = dataset.Name
          Classes = dataset.Classes
          Size = dataset.Size
          Normalisation = dataset.Normalisation
          Preprocessing = dataset.Augmentation.Test }

/// <summary>What tells the images of a run from others: fingerprints of both sets, and how training images are augmented.</summary>
type ImagesUsed = { Train: string; Test: string; Augmentation: Augment list }

/// <summary>Where a training stands: what is needed to go on with it.</summary>
type TrainingState =
    {
        Recipe: Recipe
        Stage: string
        /// The epochs that are done, oldest first, those of an earlier stage included.
        History: EpochRecord list
        /// Where in the stage.
        TrainingCursor: TrainingCursor
        /// Nothing where it is not known: in imported files, and in those of version 1.
        Images: ImagesUsed option
        /// TorchSharp's number of threads; another one gives slightly different sums.
        Threads: int
        /// How the network was computed. Nothing in files from before there were engines: they are the composite one's.
        Execution: Execution option
        /// The processor and its instruction set, which decide the order of sums, and the GPU where it computes; nothing in files of version 1.
        Machine: string option
        /// Into how many parts batches are divided; nothing in files from before they were: not at all.
        BatchPartition: BatchPartition option
        /// Each time that the run went on with other arithmetic or by another method: where, from what to what.
        Changes: string list
        /// The fingerprint of the teacher, whose file may move; nothing without one, and in files from before it was kept.
        /// What is skipped is not written: fingerprints of checkpoints without a teacher are those of before.
        Teacher: Skippable<string>
        /// The method of its steps, <c>Recipe.method</c> then; nothing in imported files, and in those from before it was kept.
        Method: Skippable<int>
    }

    /// <summary>What decides how sums are rounded, in words.</summary>
    member s.Arithmetic =
        let execution = s.Execution |> Option.defaultValue Execution.Portable
        let division = s.BatchPartition |> Option.defaultValue BatchPartition.Whole

        [ $"engine {Json.words execution.Engine}"
          $"precision {Json.words execution.Precision}"
          $"threads {s.Threads}"
          yield! division.Names ]
        |> String.concat ", "

    /// <summary>Whether sums are rounded as in another state, as far as it is known.</summary>
    member s.RoundsAs(other: TrainingState) =
        let sameMachine = s.Machine.IsNone || other.Machine.IsNone || s.Machine = other.Machine
        sameMachine && s.Arithmetic = other.Arithmetic

/// <summary>The state as files of version 1 have it: from before trainings could go on within an epoch.</summary>
type internal StateOfVersion1 =
    { Recipe: Recipe
      Stage: string
      History: EpochRecord list
      Threads: int
      Execution: Execution option }

    /// What it says, in today's words.
    member s.Today: TrainingState =
        let epochs = s.History |> List.filter (fun record -> record.Stage = s.Stage) |> List.length

        { Recipe = s.Recipe
          Stage = s.Stage
          History = s.History
          TrainingCursor = TrainingCursor.startOf epochs
          Images = None
          Threads = s.Threads
          Execution = s.Execution
          Machine = None
          BatchPartition = None
          Changes = []
          Teacher = Skippable.Skip
          Method = Skippable.Skip }

/// <summary>A network's weights with all that gives them meaning.</summary>
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
/// of it with the tensors, without which a file counts as damaged. Files of version 1, which have none, are read as well.
/// </remarks>
[<RequireQualifiedAccess>]
module Checkpoint =

    let private formatName = "normfree-checkpoint"
    let private version = "2"
    let private versionWithoutChecksum = "1"
    let private prefix = "optimiser/"

    /// <summary>Whether a tensor of that name is the network's own, and not its optimiser's.</summary>
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

    /// <summary>A checkpoint in memory, as <c>save</c> writes it, with the optimiser's state where one is given: a copy of all tensors.</summary>
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

    /// <summary>Writes a checkpoint, whole or not at all, with the optimiser's state where one is given.</summary>
    /// <remarks>Throws IOException or UnauthorizedAccessException where the file cannot be written; the one before it is intact then.</remarks>
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
                "Give one that normfree train has written"

    let private understood path key (read: Result<'T, string>) : 'T =
        match read with
        | Ok value -> value
        | Error why ->
            fail
                path
                $"metadata '{key}'"
                $"it cannot be understood: {why}"
                "Write the checkpoint again with this version of NormFree"

    let private json<'T> path file key : 'T = understood path key (metadata path file key |> OldNames.renewFields path |> Json.read<'T>)

    /// Settings of recipes that came later, as all trainings before them had it: where in the state, and the value.
    let private laterSettings =
        [ [ "Recipe"; "Initialisation" ], Json.write Initialisation.Fixed
          [ "Recipe"; "Deviations"; "Rates" ], Json.write Rule.Published
          [ "Recipe"; "Deviations"; "SignCentering" ], Json.write Rule.Published ]

    /// The state of a training, in a file of whatever age.
    let private stateJson<'T> path file : 'T =
        let text = metadata path file "state" |> OldNames.renewFields path
        understood path "state" (Json.withDefaults laterSettings text |> Result.bind Json.read<'T>)

    let private checkFormat path file =
        let format, found = metadata path file "format", metadata path file "version"

        if format <> formatName then
            fail
                path
                "metadata 'format'"
                $"it is '{format}', not '{formatName}'"
                "Give a checkpoint that normfree train has written"

        if found <> version && found <> versionWithoutChecksum then
            fail
                path
                "metadata 'version'"
                $"it is version {found}, this NormFree reads versions {versionWithoutChecksum} and {version}"
                "Use the NormFree that wrote it"

    /// Settings of networks that came later, as all networks before them had it: where in the spec, and the value.
    let private laterInSpecs =
        [ [ "Body"; "Binary"; "ShortcutWeights" ], Json.write ShortcutWeights.Binary ]

    let private spec path file =
        let text = metadata path file "spec"
        let read = Json.withDefaults laterInSpecs text |> Result.bind Json.read<NetSpec>

        match Validation.validate (understood path "spec" read) with
        | Ok spec -> spec
        | Error errors ->
            let all = errors |> List.map string |> String.concat "; "
            fail path "metadata 'spec'" $"it is not a network: {all}" "Write the checkpoint again"

    let private toTensor (file: SafetensorsFile) (entry: TensorEntry) =
        if (TensorBytes.tryType entry.DType).IsNone then
            fail
                file.Name
                $"tensor '{entry.Name}'"
                $"it holds {entry.DType.Name()}, which no network has"
                "Give a checkpoint that normfree train has written"

        TensorBytes.toTensor entry.DType entry.Shape (file.ReadBytes entry)

    /// Every tensor of the network must be there in its shape, and no other may be.
    let private checkTensors path (network: Network) (file: SafetensorsFile) =
        let wanted = dict network.Tensors

        let problems =
            [ for KeyValue(name, tensor) in wanted do
                  match file.Find name with
                  | null -> $"{name} is missing"
                  | entry when not (Seq.forall2 (=) entry.Shape tensor.shape && entry.Shape.Count = tensor.shape.Length) ->
                      let shape (sides: int64 seq) = "[" + String.Join(", ", sides) + "]"
                      $"{name} has shape {shape entry.Shape}, not {shape tensor.shape}"
                  | _ -> ()
              for entry in file.Tensors do
                  if isOfNetwork entry.Name && not (wanted.ContainsKey entry.Name) then
                      $"{entry.Name} is not a tensor of this network" ]

        if not problems.IsEmpty then
            let shown = problems |> List.truncate 8 |> String.concat "; "
            let more = if problems.Length > 8 then $"; and {problems.Length - 8} more" else ""

            fail
                path
                "tensors"
                $"they do not fit {network.Spec.Name}: {shown}{more}"
                "Give a checkpoint of this network"

    let private loadInto path (file: SafetensorsFile) (network: Network) =
        checkTensors path network file
        network |> Network.fill (fun name -> toTensor file file[name])

    let private isOfVersion1 path file = metadata path file "version" = versionWithoutChecksum

    let private state path file : TrainingState =
        if isOfVersion1 path file then
            (stateJson<StateOfVersion1> path file).Today
        else
            stateJson<TrainingState> path file

    let private openFile path =
        let file = SafetensorsFile.Open path

        try
            checkFormat path file

            if not (isOfVersion1 path file) then
                file.RequireChecksum()

            file
        with _ ->
            file.Dispose()
            reraise ()

    /// <summary>Where the training of a checkpoint stands.</summary>
    /// <remarks>Throws InvalidFileException where the file is none, or IOException.</remarks>
    let readState (path: string) : TrainingState =
        use file = openFile path
        state path file

    /// <summary>The network of a checkpoint, as a value.</summary>
    /// <remarks>Throws InvalidFileException where the file is none, or IOException.</remarks>
    let readSpec (path: string) : NetSpec =
        use file = openFile path
        spec path file

    /// <summary>The type of the weights in a checkpoint: with it <c>load</c> changes nothing.</summary>
    /// <remarks>float32, or float64 where the file has any. Throws InvalidFileException where the file is none, or IOException.</remarks>
    let precision (path: string) : torch.ScalarType =
        use file = openFile path

        let isDouble (entry: TensorEntry) = entry.DType = DType.F64 && isOfNetwork entry.Name

        if Seq.exists isDouble file.Tensors then
            torch.ScalarType.Float64
        else
            torch.ScalarType.Float32

    /// <summary>Reads a checkpoint into a network of the given type.</summary>
    /// <remarks>Throws InvalidFileException where the file is none, or IOException where it cannot be read.</remarks>
    let load (dtype: torch.ScalarType) (path: string) : Checkpoint =
        use file = openFile path
        let network = Network.create dtype Rule.Corrected 0L (spec path file)

        try
            loadInto path file network

            { Network = network; ImageTask = json<ImageTask> path file "task"; State = state path file }
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()

    /// <summary>The checkpoint with its network computed that way. Throws TrainingException where there is no such way.</summary>
    let running (execution: Execution) (checkpoint: Checkpoint) =
        { checkpoint with Network = Network.running execution checkpoint.Network }

    /// <summary>Copies a checkpoint's weights into a network that exists: how stage 2 starts from stage 1.</summary>
    /// <remarks>Throws InvalidFileException, listing every tensor that is missing, unexpected or of another shape.</remarks>
    let start (path: string) (network: Network) =
        use file = openFile path
        loadInto path file network

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
                    "Give a last checkpoint: a best one cannot be gone on with"
            | entry -> entry

        let found = [ for name, tensor in optimisation.State -> tensor, entry name ]

        for tensor, entry in found do
            tensor.copy_ ((toTensor file entry).reshape tensor.shape) |> ignore

        optimisation.Steps <- (file.ReadAsInt64(entry "steps"))[0]

    /// <summary>Puts the optimiser's state of a <c>last</c> checkpoint back.</summary>
    /// <remarks>Throws InvalidFileException where the checkpoint has no such state.</remarks>
    let restore (path: string) (optimisation: Optimisation) =
        use file = openFile path
        restoreFrom path file optimisation

    /// <summary>Puts network and optimiser where a <c>last</c> checkpoint has them, once its spec, task and state are found to fit.</summary>
    /// <remarks>Throws what <c>check</c> throws, and InvalidFileException or IOException where the file cannot be gone on with.</remarks>
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
        restoreFrom path file optimisation
        state

    /// <summary>The recipe that a stage of a run was started with; None if no checkpoint of it can be read.</summary>
    let recipeOfRun (folder: RunFolder) stage =
        RunFolder.tryNewest folder stage (fun path -> Some (readState path).Recipe)
