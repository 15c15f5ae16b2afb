namespace NormFree.Training

open System
open System.IO
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>The best checkpoints of a run: which epochs they hold, and how a lost one is rebuilt.</summary>
[<RequireQualifiedAccess>]
module BestCheckpoint =

    let private epochs (state: TrainingState) =
        state.History |> List.filter (fun (r: EpochRecord) -> r.Stage = state.Stage)

    let private tryBest records =
        match records with
        | [] -> None
        | _ -> Some(EpochRecord.best records)

    let private read (path: string) (choose: TrainingState -> 'a option) : Result<'a option, string> =
        try
            if File.Exists path then
                Ok(choose (Checkpoint.readState path))
            else
                Error $"{path} is missing."
        with
        | :? InvalidFileException
        | :? IOException
        | :? UnauthorizedAccessException as error -> Error(error.Message.TrimEnd('.') + ".")

    /// The epoch at whose end a checkpoint was written; None if it was written within an epoch.
    let private finishedEpoch (state: TrainingState) =
        let isBetweenEpochs = state.TrainingCursor.Step = 0 && state.TrainingCursor.Progress.Places = 0

        epochs state
        |> List.tryLast
        |> Option.filter (fun last -> isBetweenEpochs && last.Epoch = state.TrainingCursor.Epoch)

    /// The epoch ends among a stage's checkpoints, oldest first.
    let private candidates folder stage =
        [ for _, path in RunFolder.checkpoints folder stage |> List.rev do
              match read path finishedEpoch with
              | Ok(Some record) -> record, path
              | _ -> () ]

    let private copy (source: string) (target: string) =
        use checkpoint = Checkpoint.load torch.ScalarType.Float32 source
        Checkpoint.save target None checkpoint

    /// Replaces a lost best checkpoint by the best remaining one; the text says what was rebuilt and what is lost.
    let private rebuild (folder: RunFolder) stage (wanted: EpochRecord) : EpochRecord option * string =
        let lost = $"The network of epoch {wanted.Epoch}, the best epoch so far, is lost."

        match candidates folder stage with
        | [] -> None, $"{lost} The best of the following epochs will replace it."
        | found ->
            let best = found |> List.map fst |> EpochRecord.best
            let record, path = found |> List.find (fun (record, _) -> record.Epoch = best.Epoch)
            copy path (folder.Best stage)

            if record.Epoch = wanted.Epoch then
                Some record, $"It was rebuilt from {path}."
            else
                Some record, $"{lost} It was replaced by epoch {record.Epoch}, the best that is left, from {path}."

    /// <summary>The epoch whose network a stage's best checkpoint holds; None if the file is missing or damaged.</summary>
    let tryEpoch (folder: RunFolder) stage : EpochRecord option =
        match read (folder.Best stage) (epochs >> List.tryLast) with
        | Ok record -> record
        | Error _ -> None

    /// The finished epochs that later ones are compared with: all, or only the best on disk where a better one was lost.
    let internal contenders (onDisk: EpochRecord option) (state: TrainingState) : EpochRecord list =
        let finished = epochs state

        match onDisk, tryBest finished with
        | Some record, Some best when record.Epoch = best.Epoch -> finished
        | _ -> Option.toList onDisk

    /// <summary>Verifies the best checkpoint of a stage that resumes, and rebuilds it from the stage's other checkpoints if it is missing or
    /// damaged.</summary>
    /// <returns>The best epoch that is on disk, and a description of a loss, if any.</returns>
    /// <remarks>Throws IOException or UnauthorizedAccessException if the rebuilt file cannot be written.</remarks>
    let internal verify (folder: RunFolder) stage (state: TrainingState) : EpochRecord option * string option =
        let finished = epochs state

        match tryBest finished with
        | None -> None, None
        | Some wanted ->
            match read (folder.Best stage) (epochs >> List.tryLast) with
            | Ok(Some found) ->
                // The file may hold a later epoch than the state, which is then trained again.
                let known = finished |> List.tryFind (fun r -> r.Epoch = found.Epoch)
                Some(known |> Option.defaultValue wanted), None
            | Ok None ->
                let best, what = rebuild folder stage wanted
                best, Some $"{folder.Best stage} has no epoch. {what}"
            | Error why ->
                let best, what = rebuild folder stage wanted
                best, Some $"{why} {what}"
