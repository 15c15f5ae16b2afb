namespace NormFree.Training

open System
open System.IO
open System.Runtime.InteropServices
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// A stage whose telemetry is recorded.
type internal RecordedStage =
    {
        /// 1 or 2.
        Number: int
        Name: string
        Network: Network
        Optimisation: Optimisation
        /// Steps per epoch.
        Steps: int
        /// The first test images, at most this many; None if none can be read.
        TestImages: int -> torch.Tensor option
        /// Where the stage starts or resumes.
        Start: TrainingCursor
    }

/// The telemetry of an epoch.
type private EpochTelemetry =
    {
        Epoch: int
        Rows: LayerSample list
        /// The number of rows already written to TensorBoard's files.
        Written: int
        /// None until the epoch ends.
        End: (EpochRecord * ChannelSample list) option
    }

    static member Start epoch = { Epoch = epoch; Rows = []; Written = 0; End = None }

/// <summary>Writes a stage's telemetry into the run folder: Parquet files and TensorBoard's event files. It does nothing without a folder or with
/// telemetry off.</summary>
/// <remarks>
/// Files are written just before each checkpoint, so that a run that resumes from the checkpoint loses no sample. If they cannot be written, a
/// warning is reported once, and the next checkpoint retries.
/// </remarks>
[<Sealed>]
type internal TelemetryRecorder(folder: RunFolder option, runOptions: RunOptions, stage: RecordedStage) =

    let folder, every =
        match runOptions.Telemetry, folder with
        | EverySteps every, Some folder -> Some folder, every
        | _ -> None, 1

    let sampler =
        new Sampler(
            stage.Name,
            stage.Network,
            stage.Optimisation,
            (fun () -> stage.TestImages TelemetryRecorder.ProbeImages)
        )

    let mutable warned = false

    let mutable current: EpochTelemetry = EpochTelemetry.Start(stage.Start.Epoch + 1)

    /// Finished epochs that are not written yet, oldest first.
    let mutable pending: EpochTelemetry list = []
    let mutable board: TensorBoard option = None

    let warn (error: exn) =
        if not warned then
            runOptions.OnEvent(
                Warning
                    $"{error.Message.TrimEnd('.')}: telemetry was not written. Training continues, and the next checkpoint retries."
            )

        warned <- true

    /// Runs a file operation; warns and returns false if it fails.
    let attempt action =
        try
            action ()
            warned <- false
            true
        with
        | :? IOException
        | :? UnauthorizedAccessException
        // From torch, which computes the histograms.
        | :? ExternalException as error ->
            warn error
            false

    let writeTables (folder: RunFolder) (epoch: EpochTelemetry) =
        if not epoch.Rows.IsEmpty then
            TelemetryFiles.makeFolder folder
            ColumnFile.write (TelemetryFiles.layers folder stage.Number epoch.Epoch) epoch.Rows

        match epoch.End with
        | Some(_, channels) when not channels.IsEmpty ->
            TelemetryFiles.makeFolder folder
            ColumnFile.write (TelemetryFiles.channels folder stage.Number epoch.Epoch) channels
        | _ -> ()

    let writeEventsTo (board: TensorBoard) (epoch: EpochTelemetry) =
        let before = (epoch.Epoch - 1) * stage.Steps

        for row in List.skip epoch.Written epoch.Rows do
            board.Add(row, before + row.Step)

        match epoch.End with
        | Some(record, channels) ->
            board.Add(record, before + stage.Steps)

            for layer, ofLayer in channels |> List.groupBy _.Layer do
                board.Add(layer, ofLayer, before + stage.Steps)
        | None -> ()

    let writeEvents folder (epoch: EpochTelemetry) =
        let writer = board |> Option.defaultWith (fun () -> TensorBoard(folder, stage.Number))
        // After a failure a new file is started, because readers stop at an incomplete event.
        board <- None
        writeEventsTo writer epoch
        board <- Some writer

    let write folder =
        while not pending.IsEmpty do
            writeTables folder pending.Head
            writeEvents folder pending.Head
            pending <- pending.Tail

        if current.Rows.Length > current.Written then
            writeTables folder current
            writeEvents folder current
            current <- { current with Written = current.Rows.Length }

    let resume folder =
        let rows =
            try
                TelemetryFiles.cut folder stage.Number stage.Start.Epoch stage.Start.Step
            with :? InvalidFileException as error ->
                runOptions.OnEvent(Warning $"{error.Message} The epoch's earlier telemetry is lost.")
                []

        current <- { current with Rows = rows; Written = rows.Length }

    do folder |> Option.iter (fun folder -> attempt (fun () -> resume folder) |> ignore)

    /// <summary>Test images on which activation flips are measured: enough for a fraction, and few compared with a batch.</summary>
    static member ProbeImages = 16

    /// <summary>Starts a sample of the step that follows the cursor, if that step is to be sampled.</summary>
    member _.TryStartSample(cursor: TrainingCursor) : Sample option =
        if folder.IsSome && (cursor.Epoch * stage.Steps + cursor.Step) % every = 0 then
            Some(sampler.Start cursor)
        else
            None

    /// <summary>The hook for the step's forward pass. It samples this rank's first micro-batch.</summary>
    member _.Hook(sample: Sample option) : MicroBatchHook =
        let hook microBatch =
            match sample with
            | Some sample when microBatch = 0 -> sampler.ForwardHook sample
            | _ -> ForwardHook.none

        { Begins = ignore; ForwardHook = hook; Passed = ignore }

    /// <summary>Calls <c>update</c>, which clips the gradients and takes the optimiser's step, and adds the sample's rows.</summary>
    member _.Record(sample: Sample option, update: unit -> unit) =
        match sample with
        | Some sample when sample.Inputs.Count > 0 ->
            current <- { current with Rows = current.Rows @ sampler.Record(sample, update) }
        // Without a sample, or if this rank had no image of the batch.
        | _ -> update ()

    /// <summary>Writes the telemetry so far. Call it just before a checkpoint is written.</summary>
    member _.Write() = folder |> Option.iter (fun folder -> attempt (fun () -> write folder) |> ignore)

    /// <summary>Ends the epoch with the fractions of +1 by layer and channel, and writes its telemetry.</summary>
    member this.EndEpoch(record: EpochRecord, fractions: (string * float[]) list) =
        let channels =
            [ for layer, positive in fractions do
                  for channel, fraction in Array.indexed positive do
                      { Stage = stage.Name
                        Epoch = record.Epoch
                        Layer = layer
                        Channel = channel
                        Positive = fraction } ]

        if folder.IsSome then
            pending <- pending @ [ { current with End = Some(record, channels) } ]

        current <- EpochTelemetry.Start(record.Epoch + 1)
        this.Write()

    interface IDisposable with
        member _.Dispose() = (sampler :> IDisposable).Dispose()
