namespace NormFree.Networks

open System
open System.IO
open System.Security.Cryptography
open System.Text
open NormFree.Formats.Safetensors
open NormFree.Runs

/// <summary>Hashes of runs and checkpoints. Two runs have the same fingerprint if their results are the same bit for bit.</summary>
/// <remarks>Wall times are excluded: only they differ between an uninterrupted run and a resumed one.</remarks>
[<RequireQualifiedAccess>]
module Fingerprint =

    let private timeless (history: EpochRecord list) = history |> List.map (fun record -> { record with Seconds = 0.0 })

    let private addText (hash: IncrementalHash) (text: string) =
        hash.AppendData(ReadOnlySpan(Encoding.UTF8.GetBytes $"{text.Length}:{text}"))

    let private addTensor hash (file: SafetensorsFile) (entry: TensorEntry) =
        let shape = String.Join("×", entry.Shape)
        addText hash $"{entry.Name} {entry.DType} {shape}"
        hash.AppendData(file.ReadBytes entry)

    let private addCheckpoint hash path =
        use file = SafetensorsFile.Open path
        let state = Checkpoint.readState path
        file.Tensors |> Seq.iter (addTensor hash file)
        addText hash file.Metadata["spec"]
        addText hash file.Metadata["task"]

        addText
            hash
            (Json.write
                { state with
                    History = timeless state.History
                    TrainingCursor = { state.TrainingCursor with Seconds = 0.0 } })

    let private ofAll (add: IncrementalHash -> unit) =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        add hash
        Convert.ToHexStringLower(hash.GetHashAndReset())

    /// <summary>The fingerprint of named tensors in memory.</summary>
    let ofTensors (tensors: (string * TorchSharp.torch.Tensor) list) =
        ofAll (fun hash ->
            for name, tensor in tensors do
                addText hash name
                hash.AppendData(TensorBytes.ofTensor tensor))

    /// <summary>The fingerprint of a checkpoint: its weights, the optimiser's and the training's state, and the log so far.</summary>
    /// <remarks>Throws InvalidFileException if the file is not a valid checkpoint, IOException if it cannot be read.</remarks>
    let ofCheckpoint path = ofAll (fun hash -> addCheckpoint hash path)

    /// <summary>The fingerprint of a teacher: its weights, spec and task, independent of its training.</summary>
    /// <remarks>Throws as <c>ofCheckpoint</c> does.</remarks>
    let ofTeacher path =
        ofAll (fun hash ->
            use file = SafetensorsFile.Open path

            for entry in file.Tensors do
                if Checkpoint.isOfNetwork entry.Name then
                    addTensor hash file entry

            addText hash file.Metadata["spec"]
            addText hash file.Metadata["task"])

    /// <summary>The fingerprint of a run folder: the last and the best checkpoint of both stages, and the log.</summary>
    /// <remarks>Throws as <c>ofCheckpoint</c> and <c>RunFolder.readRun</c> do.</remarks>
    let ofRun (folder: RunFolder) =
        ofAll (fun hash ->
            for path in [ folder.Last 1; folder.Best 1; folder.Last 2; folder.Best 2 ] do
                if File.Exists path then
                    addText hash (Path.GetFileName path |> string)
                    addCheckpoint hash path

            addText hash (Json.write (timeless (RunFolder.readRun folder).Epochs)))
