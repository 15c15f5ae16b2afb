namespace NormFree.Networks

open System
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// Reads a checkpoint's metadata and tensors, and checks them against each other.
module internal CheckpointFile =

    /// The file's format, in its metadata.
    let formatName = "normfree-checkpoint"
    let version = "3"
    let private versionWithOldNames = "2"
    /// What the names of the optimiser's tensors start with.
    let prefix = "optimiser/"

    /// Whether a tensor of that name belongs to the network, not to its optimiser.
    let isOfNetwork (name: string) = not (name.StartsWith(prefix, StringComparison.Ordinal))

    let fail path where what remedy = raise (InvalidFileException(path, where, what, remedy))

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
                $"it cannot be parsed: {why.TrimEnd '.'}"
                "Write the checkpoint again with this version of NormFree"

    let private json<'T> path file key : 'T =
        parsed path key (metadata path file key |> OldNames.renewFields path |> Json.read<'T>)

    let state path file : TrainingState =
        let state =
            metadata path file "state"
            |> OldNames.renewFields path
            |> OldNames.addFields
            |> Result.bind Json.read<TrainingState>
            |> parsed path "state"

        match StateChecks.problems state with
        | [] -> state
        | problems ->
            fail path "metadata 'state'" (String.concat "; " problems) "Give a checkpoint that normfree train wrote"

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
    let checkTensors path (spec: NetSpec) (file: SafetensorsFile) =
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

    /// The network's spec. It is checked against the file's tensors, so that creating the network allocates no more than the file contains.
    let spec path file =
        let text = metadata path file "spec"

        if text.Length > Limits.specLength then
            fail
                path
                "metadata 'spec'"
                $"it has {text.Length} characters; the limit is {Limits.specLength}"
                "Give a checkpoint that normfree train wrote"

        let net: NetSpec = text |> OldNames.renewFields path |> OldSpec.read |> parsed path "spec"

        match Validation.validate net with
        | Ok spec ->
            checkTensors path spec file
            spec
        | Error errors ->
            let all = errors |> List.map string |> Array.ofList |> Printable.List |> String.concat "; "
            fail path "metadata 'spec'" $"it is not a network: {all}" "Write the checkpoint again"

    /// The network's spec and its image task, which fits it.
    let specAndTask path (file: SafetensorsFile) : NetSpec * ImageTask =
        let spec = spec path file
        let task = json<ImageTask> path file "task"

        match TaskChecks.problems spec task with
        | [] -> spec, task
        | problems ->
            fail path "metadata 'task'" (String.concat "; " problems) "Give a checkpoint that normfree train wrote"

    let toTensor (file: SafetensorsFile) (entry: TensorEntry) =
        if (TensorBytes.tryType entry.DType).IsNone then
            fail
                file.Name
                $"tensor '{entry.Name}'"
                $"it contains {entry.DType.Name()}, which no network has"
                "Give a checkpoint that normfree train wrote"

        TensorBytes.toTensor entry.DType entry.Shape (file.ReadBytes entry)

    /// Opens a checkpoint whose format, version and checksum are right.
    let openFile path =
        PlainFile.RequireNoPipe(path, "Give a file: it is read more than once")
        let file = SafetensorsFile.Open path

        try
            checkFormat path file

            file.RequireChecksum()
            file
        with _ ->
            file.Dispose()
            reraise ()
