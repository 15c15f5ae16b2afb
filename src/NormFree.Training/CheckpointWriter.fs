namespace NormFree.Training

open System
open System.Diagnostics
open System.IO
open NormFree.Data
open NormFree.Distributed
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>A stage at work: all that its checkpoints hold, but for where it stands.</summary>
type internal StageInHand =
    {
        /// 1 or 2.
        Number: int
        Network: Network
        Optimisation: Optimisation
        ImageTask: ImageTask
        /// Cursor and history are those of the stage's begin.
        Begin: TrainingState
    }

/// <summary>Keeps the checkpoints of a stage in a run's folder, by the surroundings' rules; without a folder it keeps nothing.</summary>
/// <remarks>
/// The rule where a file cannot be written: while the stage is under way, whoever watches is warned, the training goes on, and it is tried again
/// a minute later; at the end of the stage and when the run is interrupted, the reason ends the run. Older checkpoints are intact either way. A best
/// network that could not be written waits in memory, and no later checkpoint is written before it. Of several ranks the first one alone keeps
/// anything, and where it cannot, the reason ends the run at once: many machines would work for nothing.
/// </remarks>
[<Sealed>]
type internal CheckpointWriter(folder: RunFolder option, runOptions: RunOptions, stage: StageInHand) =

    let written = if runOptions.Ranks.Rank = 0 then folder else None
    let patience = TimeSpan.FromMinutes 1.0
    let sinceLast = Stopwatch.StartNew()
    let mutable wait = runOptions.CheckpointPolicy.Every
    let mutable history = stage.Begin.History
    let mutable best: SafetensorsWriter option = None

    let checkpoint position =
        { Network = stage.Network
          ImageTask = stage.ImageTask
          State = { stage.Begin with History = history; TrainingCursor = position } }

    let isBest (record: EpochRecord) =
        history
        |> List.filter (fun (r: EpochRecord) -> r.Stage = record.Stage)
        |> List.forall (fun earlier -> earlier.Score < record.Score)

    /// The best first: a last checkpoint that is kept never knows of an epoch whose best network is not.
    let write position (folder: RunFolder) =
        best |> Option.iter _.Save(folder.Best stage.Number)
        best <- None
        let file = Checkpoint.prepare (Some stage.Optimisation) (checkpoint position)
        let path = folder.Last stage.Number
        let makeRoom () = RunFolder.rotate folder stage.Number runOptions.CheckpointPolicy.Checkpoints
        AtomicFile.Write(path, (fun stream -> file.Write stream), makeRoom)
        RunFolder.writeLog folder history

    let keep position =
        Option.iter (write position) written
        sinceLast.Restart()
        wait <- runOptions.CheckpointPolicy.Every

    let warn (error: exn) =
        sinceLast.Restart()
        wait <- min patience runOptions.CheckpointPolicy.Every

        runOptions.Watch(
            Warning
                $"{error.Message.TrimEnd('.')}: no checkpoint now; it is tried again, and the training goes on. Older ones are intact."
        )

    let keepOrWarn position =
        try
            keep position
        with
        | :? IOException
        | :? UnauthorizedAccessException as error when runOptions.Ranks.Size = 1 -> warn error

    /// <summary>Where this rank keeps them.</summary>
    member _.Folder = written

    /// <summary>Whether the last checkpoint is so old that there should be another.</summary>
    member _.IsDue = written.IsSome && sinceLast.Elapsed >= wait

    /// <summary>Keeps where the training stands, or warns.</summary>
    member _.Keep(position: TrainingCursor) = keepOrWarn position

    /// <summary>Keeps where the training stands when it is interrupted.</summary>
    /// <remarks>Throws TrainingException where it cannot be kept.</remarks>
    member _.KeepAtInterruption(position: TrainingCursor) =
        try
            keep position
        with
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            raise (
                TrainingException
                    $"Interrupted; {error.Message.TrimEnd('.')}, so that {TrainingCursor.words position} is not kept. Older checkpoints are intact: \
                      when the folder can be written to, the run goes on from the last of them."
            )

    /// <summary>Adds a finished epoch, and keeps it, behind which the training stands at `position`.</summary>
    /// <remarks>Throws IOException or UnauthorizedAccessException where it is the last one and cannot be kept.</remarks>
    member _.KeepEpoch(record: EpochRecord, position: TrainingCursor) =
        let isBest = isBest record
        history <- history @ [ record ]

        if isBest && written.IsSome then
            best <- Some(Checkpoint.prepare None (checkpoint position))

        if record.Epoch = record.Epochs then keep position else keepOrWarn position

    /// <summary>The epochs that are done, those of earlier stages included.</summary>
    member _.History = history

    /// <summary>Puts network and optimiser back to the newest checkpoint that can be read; makes one first where there is none.</summary>
    member _.GoBack() =
        let rec back paths =
            match paths with
            | [] -> raise (TrainingException "There is no checkpoint that can be read, so there is none to go back to.")
            | path :: older ->
                try
                    Checkpoint.resume path (fun _ _ _ -> ()) stage.Network stage.Optimisation |> ignore
                with
                | :? InvalidFileException
                | :? IOException -> back older

        // What the first rank keeps must be there for the others.
        runOptions.Ranks.Meet()
        let files = folder |> Option.map (fun f -> RunFolder.checkpoints f stage.Number)
        files |> Option.defaultValue [] |> List.map snd |> back

    /// <summary>Whether there is a checkpoint of the stage.</summary>
    member _.HasCheckpoint =
        folder |> Option.exists (fun folder -> not (RunFolder.checkpoints folder stage.Number).IsEmpty)
