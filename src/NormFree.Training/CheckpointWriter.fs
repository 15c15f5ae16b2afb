namespace NormFree.Training

open System
open System.Diagnostics
open System.IO
open NormFree.Distributed
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs

/// <summary>What the checkpoints of a running stage contain, except the cursor.</summary>
type internal CheckpointedStage =
    {
        /// 1 or 2.
        Number: int
        Network: Network
        Optimisation: Optimisation
        ImageTask: ImageTask
        /// The state at the start of the stage, whose cursor and history are replaced.
        Start: TrainingState
        /// The epoch of the best checkpoint on disk; None if there is none.
        Best: EpochRecord option
    }

/// <summary>Writes the checkpoints of a stage into the run folder, as often as the run options say. Without a folder it writes nothing.</summary>
/// <remarks>
/// If a file cannot be written while the stage runs, a warning is reported, training continues, and the next attempt follows a minute later. At
/// the end of the stage and on interruption, the failure ends the run. Earlier checkpoints are intact in both cases. A best network that could not
/// be written stays in memory, and no later checkpoint is written before it. With several ranks only the first one writes, and any failure ends
/// the run at once, because many machines would otherwise compute in vain.
/// </remarks>
[<Sealed>]
type internal CheckpointWriter(folder: RunFolder option, runOptions: RunOptions, stage: CheckpointedStage) =

    let written = if runOptions.Ranks.Rank = 0 then folder else None
    let retryAfter = TimeSpan.FromMinutes 1.0
    let sinceLast = Stopwatch.StartNew()
    let mutable wait = runOptions.CheckpointPolicy.Every
    let mutable history = stage.Start.History
    let mutable contenders = BestCheckpoint.contenders stage.Best stage.Start
    let mutable best: SafetensorsWriter option = None

    let checkpoint cursor =
        { Network = stage.Network
          ImageTask = stage.ImageTask
          State = { stage.Start with History = history; TrainingCursor = cursor } }

    /// Writes the best network first, so that a last checkpoint never mentions an epoch whose best network is not on disk.
    let writeInto cursor (folder: RunFolder) =
        best |> Option.iter _.Save(folder.Best stage.Number)
        best <- None
        let file = Checkpoint.prepare (Some stage.Optimisation) (checkpoint cursor)
        let path = folder.Last stage.Number
        let rotate () = RunFolder.rotate folder stage.Number runOptions.CheckpointPolicy.Checkpoints
        AtomicFile.Write(path, (fun stream -> file.Write stream), rotate)
        RunFolder.writeLog folder history

    let write cursor =
        Option.iter (writeInto cursor) written
        sinceLast.Restart()
        wait <- runOptions.CheckpointPolicy.Every

    let warn (error: exn) =
        sinceLast.Restart()
        wait <- min retryAfter runOptions.CheckpointPolicy.Every

        runOptions.OnEvent(
            Warning
                $"{error.Message.TrimEnd('.')}: no checkpoint was written. Training continues and retries later. Earlier checkpoints are intact."
        )

    let writeOrWarn cursor =
        try
            write cursor
        with
        | :? IOException
        | :? UnauthorizedAccessException as error when runOptions.Ranks.Size = 1 -> warn error

    /// <summary>The folder that this rank writes to.</summary>
    member _.Folder = written

    /// <summary>Whether the last checkpoint is old enough for another one.</summary>
    member _.IsDue = written.IsSome && sinceLast.Elapsed >= wait

    /// <summary>Writes a checkpoint, or warns.</summary>
    member _.Write(cursor: TrainingCursor) = writeOrWarn cursor

    /// <summary>Writes a checkpoint when training is interrupted.</summary>
    /// <remarks>Throws TrainingException if it cannot be written.</remarks>
    member _.WriteOnInterruption(cursor: TrainingCursor) =
        try
            write cursor
        with
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            raise (
                TrainingException
                    $"Interrupted; {error.Message.TrimEnd('.')}, so {TrainingCursor.describe cursor} was not written. Earlier checkpoints are intact: \
                      once the folder is writable, the run resumes from the last of them."
            )

    /// <summary>Adds a finished epoch and writes a checkpoint; training continues at `cursor`. After the last epoch, the network has the averaged
    /// weights if the recipe averages them.</summary>
    /// <remarks>Throws IOException or UnauthorizedAccessException if it is the last epoch and cannot be written.</remarks>
    member _.WriteEpoch(record: EpochRecord, cursor: TrainingCursor) =
        history <- history @ [ record ]
        contenders <- contenders @ [ record ]

        if written.IsSome && (EpochRecord.best contenders).Epoch = record.Epoch then
            best <- Some(stage.Optimisation.WithAverage(fun () -> Checkpoint.prepare None (checkpoint cursor)))

        if record.Epoch = record.Epochs then
            stage.Optimisation.AdoptAverage()
            write cursor
        else
            writeOrWarn cursor

    /// <summary>The finished epochs, including those of earlier stages.</summary>
    member _.History = history

    /// <summary>Restores network and optimiser from the newest readable checkpoint.</summary>
    /// <remarks>Throws TrainingException if there is none.</remarks>
    member _.RollBack() =
        let rec restore paths =
            match paths with
            | [] -> raise (TrainingException "No checkpoint can be read, so the training cannot roll back.")
            | path :: older ->
                try
                    Checkpoint.resume path (fun _ _ _ -> ()) stage.Network stage.Optimisation |> ignore
                with
                | :? InvalidFileException
                | :? IOException -> restore older

        // What the first rank writes must be there for the others.
        runOptions.Ranks.Barrier()
        let files = folder |> Option.map (fun f -> RunFolder.checkpoints f stage.Number)
        files |> Option.defaultValue [] |> List.map snd |> restore

    /// <summary>Whether there is a checkpoint of the stage.</summary>
    member _.HasCheckpoint =
        folder |> Option.exists (fun folder -> not (RunFolder.checkpoints folder stage.Number).IsEmpty)
