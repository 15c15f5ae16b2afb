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
        /// Of an epoch.
        Steps: int
        /// The first test images, that many at most; nothing where none can be read.
        TestImages: int -> torch.Tensor option
        /// Where the stage goes on.
        Start: TrainingCursor
    }

/// What was seen in an epoch.
type private EpochTelemetry =
    {
        Epoch: int
        Rows: LayerSample list
        /// Rows that TensorBoard's files have.
        Shown: int
        /// At the epoch's end.
        End: (EpochRecord * ChannelSample list) option
    }

    static member Begin epoch = { Epoch = epoch; Rows = []; Shown = 0; End = None }

/// <summary>Records a stage's telemetry in a run's folder: columnar files and TensorBoard's events. Does nothing without a folder, or where the
/// surroundings want none.</summary>
/// <remarks>
/// Files are written when checkpoints are, just before them, so that they hold all that a run that goes on from a checkpoint does not see again.
/// Where they cannot be written, whoever watches is warned once, and the next checkpoint's time tries again.
/// </remarks>
[<Sealed>]
type internal Recorder(folder: RunFolder option, runOptions: RunOptions, stage: RecordedStage) =

    let folder, every =
        match runOptions.Telemetry, folder with
        | EverySteps every, Some folder -> Some folder, every
        | _ -> None, 1

    let sampler =
        new Sampler(stage.Name, stage.Network, stage.Optimisation, (fun () -> stage.TestImages Recorder.WatchedImages))

    let mutable warned = false

    let mutable now: EpochTelemetry = EpochTelemetry.Begin(stage.Start.Epoch + 1)

    /// Epochs that are over and not written yet, oldest first.
    let mutable waiting: EpochTelemetry list = []
    let mutable board: TensorBoard option = None

    let warn (error: exn) =
        if not warned then
            runOptions.Watch(
                Warning
                    $"{error.Message.TrimEnd('.')}: telemetry is not written now. The training goes on, and it is tried again."
            )

        warned <- true

    /// Does something with files; whether it could.
    let attempt action =
        try
            action ()
            warned <- false
            true
        with
        | :? IOException
        | :? UnauthorizedAccessException
        // Of torch, which makes the histograms.
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

    let showOn (board: TensorBoard) (epoch: EpochTelemetry) =
        let before = (epoch.Epoch - 1) * stage.Steps

        for row in List.skip epoch.Shown epoch.Rows do
            board.Add(row, before + row.Step)

        match epoch.End with
        | Some(record, channels) ->
            board.Add(record, before + stage.Steps)

            for layer, ofLayer in channels |> List.groupBy _.Layer do
                board.Add(layer, ofLayer, before + stage.Steps)
        | None -> ()

    let show folder (epoch: EpochTelemetry) =
        let current = board |> Option.defaultWith (fun () -> TensorBoard(folder, stage.Number))
        // Behind an event that was cut short a file is of no more use: after a failure there is another.
        board <- None
        showOn current epoch
        board <- Some current

    let write folder =
        while not waiting.IsEmpty do
            writeTables folder waiting.Head
            show folder waiting.Head
            waiting <- waiting.Tail

        if now.Rows.Length > now.Shown then
            writeTables folder now
            show folder now
            now <- { now with Shown = now.Rows.Length }

    let resume folder =
        let rows =
            try
                TelemetryFiles.cut folder stage.Number stage.Start.Epoch stage.Start.Step
            with :? InvalidFileException as error ->
                runOptions.Watch(Warning $"{error.Message} The epoch's telemetry begins anew.")
                []

        now <- { now with Rows = rows; Shown = rows.Length }

    do folder |> Option.iter (fun folder -> attempt (fun () -> resume folder) |> ignore)

    /// <summary>Images to watch the activations of: enough for a share, and little beside a batch.</summary>
    static member WatchedImages = 16

    /// <summary>Begins a sample of the step behind this position, where its turn has come.</summary>
    member _.Begin(position: TrainingCursor) : Sample option =
        if folder.IsSome && (position.Epoch * stage.Steps + position.Step) % every = 0 then
            Some(sampler.Begin position)
        else
            None

    /// <summary>What looks at the forward pass of the step: of the first part of this rank, where batches are divided.</summary>
    member _.Watch(sample: Sample option) : MicroBatchHook =
        let look part =
            match sample with
            | Some sample when part = 0 -> sampler.ForwardHook sample
            | _ -> ForwardHook.none

        { Begins = ignore; ForwardHook = look; Passed = ignore }

    /// <summary>Clips and moves as the step does, and ends the sample around that.</summary>
    member _.Record(sample: Sample option, move: unit -> unit) =
        match sample with
        | Some sample when sample.Inputs.Count > 0 -> now <- { now with Rows = now.Rows @ sampler.Record(sample, move) }
        // A rank that had no image of the batch has seen nothing.
        | _ -> move ()

    /// <summary>Writes what was seen so far: to be called just before a checkpoint is kept.</summary>
    member _.Keep() = folder |> Option.iter (fun folder -> attempt (fun () -> write folder) |> ignore)

    /// <summary>Ends the epoch, with the shares of +1 by layer and channel, and writes what was seen of it.</summary>
    member this.EndEpoch(record: EpochRecord, shares: (string * float[]) list) =
        let channels =
            [ for layer, positive in shares do
                  for channel, share in Array.indexed positive do
                      { Stage = stage.Name; Epoch = record.Epoch; Layer = layer; Channel = channel; Positive = share } ]

        if folder.IsSome then
            waiting <- waiting @ [ { now with End = Some(record, channels) } ]

        now <- EpochTelemetry.Begin(record.Epoch + 1)
        this.Keep()

    interface IDisposable with
        member _.Dispose() = (sampler :> IDisposable).Dispose()
