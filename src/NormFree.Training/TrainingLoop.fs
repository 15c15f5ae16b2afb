namespace NormFree.Training

open System
open System.Diagnostics
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Platform
open TorchSharp

/// Where a stage is. A training can resume from either cursor: both are between two steps.
type private LoopState =
    {
        Cursor: TrainingCursor
        /// After the last batch with a readable image: on resume, images that failed to decode since then are retried.
        Readable: TrainingCursor
    }

/// The images on which the best epoch is chosen.
type private HeldOutImages =
    | NoHeldOut
    /// A data set without test images has the held-out ones as test images: they are evaluated once.
    | TestImages
    | OtherImages of ImageSource

/// <summary>The training loop of a stage: epochs of steps, each epoch followed by an evaluation.</summary>
[<RequireQualifiedAccess>]
module internal TrainingLoop =

    /// The places of the batch's readable images. Reports the images that any rank failed to read.
    let private readable
        (context: StageContext)
        (cursor: TrainingCursor)
        (gradients: GradientResult)
        places
        (mine: UnreadableImage list)
        =
        if gradients.Unreadable = 0 then
            Array.toList places
        else
            let all = Collectives.unreadable context.Options.Ranks cursor.Progress.Unreadable mine
            all |> List.iter (ImageSkipped >> context.Options.OnEvent)
            List.ofArray places |> List.except [ for image in all -> image.Index ]

    /// One step on this rank's part of a batch: load, forward, loss, backward, accumulate, clip, step, centre, record.
    /// A batch without a readable image on any rank is no step.
    let private step
        (context: StageContext)
        stepsPerEpoch
        (batch: Batch)
        places
        unreadable
        (cursor: TrainingCursor)
        : TrainingCursor =
        use _ = torch.NewDisposeScope()
        let sample = context.Recorder.TryStartSample cursor
        let undo = NonFiniteResponse.undo context
        let images, labels = Evaluation.tensors context.Network batch
        context.Network.Progress <- Recipe.progress context.Job.Recipe stepsPerEpoch cursor.Epoch cursor.Step

        // Forward, loss and backward of each micro-batch; gradients accumulate, over all ranks too.
        let gradients =
            context.Step.Gradients(images, labels, List.length unreadable, [ context.Recorder.Hook sample ])

        let places = readable context cursor gradients places unreadable

        let update (cursor: TrainingCursor) =
            context.Step.Clip()
            context.Step.Update cursor.Rate |> ignore // the optimiser's step, then sign centering, then the weights' average

        let counted (cursor: TrainingCursor) =
            if gradients.Images = 0 then
                cursor
            else
                let rate = Recipe.rate context.Job.Recipe stepsPerEpoch cursor.Epoch cursor.Step
                let cursor = { cursor with Rate = rate }

                match NonFiniteResponse.check context cursor gradients images places with
                | Error issue ->
                    undo ()
                    let after = NonFiniteResponse.respond context issue cursor
                    { after with Step = cursor.Step + 1 }
                | Ok(cursor, norm) ->
                    context.Recorder.Record(sample, (fun () -> update cursor))

                    { cursor with
                        Sums = cursor.Sums + gradients.Sums
                        Norms = cursor.Norms + norm
                        SkippedInARow = 0
                        Step = cursor.Step + 1 }

        { counted cursor with
            Progress =
                { Places = batch.Progress.Places; Unreadable = cursor.Progress.Unreadable + gradients.Unreadable } }

    /// Whether any rank asks for something. All ranks must ask at the same places.
    let private anyRank (context: StageContext) (asked: bool) =
        context.Options.Ranks.Sum [| (if asked then 1.0 else 0.0) |] |> Array.head > 0.0

    /// Writes a checkpoint, or stops, if a rank asks for it. All ranks do so after the same step.
    let private synchronise (context: StageContext) cursor =
        let cursor =
            if anyRank context context.Writer.IsDue then
                NonFiniteResponse.writeCheckpoint context cursor
            else
                cursor

        context.Stop.Synchronise()
        cursor

    /// The rest of the epoch's batches. `publish` receives the state after each of them.
    let private trainEpoch
        (context: StageContext)
        (source: ImageSource)
        (publish: LoopState -> unit)
        (start: LoopState)
        =
        let job, steps = context.Job, StageImages.stepsOf context.Job source
        let order = Loader.shuffled job.Recipe.Seed (StageImages.streamOf job start.Cursor.Epoch) source.Count
        let clock, secondsBefore = Stopwatch.StartNew(), start.Cursor.Seconds
        let unreadable = ResizeArray()
        let mutable state, reported = start, 0
        let loading = StageContext.loading context start.Cursor unreadable.Add

        for batch in Loader.readShard (Collectives.shard context.Options.Ranks) loading source order do
            // The loader still yields the batches that are ready.
            context.Options.Cancellation.ThrowIfCancellationRequested()
            let before = state.Cursor
            let places = order[before.Progress.Places .. batch.Progress.Places - 1]
            let after = step context steps batch places (List.ofSeq (Seq.skip reported unreadable)) before
            reported <- unreadable.Count
            let cursor = { after with Seconds = secondsBefore + clock.Elapsed.TotalSeconds }

            if cursor.Step > before.Step then
                state <- { Cursor = cursor; Readable = cursor }
                publish state
                context.Options.OnEvent(StepDone(StageRecords.step context cursor source.Count))
                state <- { state with Cursor = synchronise context cursor }
            else
                state <- { state with Cursor = cursor }

            publish state

        // For a cancellation since the last step: an evaluation takes long, and ranks that stop within it would not stop together.
        context.Stop.Synchronise()
        context.Options.Cancellation.ThrowIfCancellationRequested()
        Loader.requireReadable source.Count state.Cursor.Progress.Unreadable (Seq.tryHead unreadable)
        state.Cursor

    /// The share of +1 by binary layer and channel, for the first batch of test images.
    let private signShares (context: StageContext) =
        use _ = torch.NewDisposeScope()

        StageImages.firstTestImages context.Options context.Job context.Network context.Job.Recipe.Batch
        |> Option.map (SignLayers.shares context.Network)
        |> Option.defaultValue []

    /// The evaluation after an epoch, its record and its checkpoint; the cursor at the start of the next epoch.
    let private endEpoch (context: StageContext) (heldOut: HeldOutImages) cursor : TrainingCursor =
        let task = ImageTask.Of context.Job.Dataset

        let accuracy source =
            context.Optimisation.WithAverage(fun () ->
                Evaluation.accuracy context.Options task context.Job.Recipe.Batch context.Network source)

        StageContext.requireSame
            context
            "One of them computes differently, or its memory is damaged. The epoch before this one is in the run folder: resume from there on \
             other machines."

        let test, cursor =
            NonFiniteResponse.evaluate context (fun () -> accuracy context.Job.Dataset.Test) cursor

        let heldOut =
            match heldOut with
            | NoHeldOut -> None
            | TestImages -> Some test
            | OtherImages source -> Some(accuracy source)

        let shares = context.Optimisation.WithAverage(fun () -> signShares context)
        let record = StageRecords.epoch context cursor test heldOut shares
        context.Optimisation.ClipCounts <- []

        let next = { TrainingCursor.startOf (cursor.Epoch + 1) with SkippedInARow = cursor.SkippedInARow }
        // Before the checkpoint, so that it holds the state with which the next epoch starts.
        context.Optimisation.StartEpoch next.Epoch

        context.Recorder.EndEpoch(record, shares)
        context.Writer.WriteEpoch(record, next)
        context.Options.OnEvent(EpochDone record)
        next

    /// Writes a checkpoint when a training is interrupted, unless it would contain NaN or infinity.
    let private writeOnInterruption (context: StageContext) cursor =
        if NonFiniteResponse.isFinite context then
            context.Recorder.Write()
            context.Writer.WriteOnInterruption(StageContext.complete context cursor)

        // No rank leaves before the first one has written it.
        context.Options.Ranks.Barrier()

    /// Writes a checkpoint when images can no longer be read. They may come back; that they are gone is reported in any case.
    let private writeOnDataFailure (context: StageContext) state =
        if
            state.Readable.Step > 0
            && state.Readable.Epoch = state.Cursor.Epoch
            && NonFiniteResponse.isFinite context
        then
            context.Recorder.Write()
            context.Writer.Write(StageContext.complete context state.Readable)

    let private heldOutImages (dataset: Dataset) source =
        match source with
        | None -> NoHeldOut
        | Some source when StageImages.isTest dataset source -> TestImages
        | Some source -> OtherImages source

    /// The rest of the stage's epochs. Writes a checkpoint if the training is interrupted or the images can no longer be read.
    let private trainEpochs (context: StageContext) train heldOut (start: TrainingCursor) =
        let state = ref { Cursor = start; Readable = start }

        try
            while state.Value.Cursor.Epoch < context.Job.Recipe.Epochs do
                let cursor = trainEpoch context train (fun now -> state.Value <- now) state.Value
                state.Value <- { state.Value with Cursor = endEpoch context heldOut cursor }
        with
        | :? OperationCanceledException when context.Stop.IsRequested ->
            writeOnInterruption context state.Value.Cursor

            if context.Stop.IsByDeadline then
                raise (DeadlineException())

            reraise ()
        | :? DataException ->
            writeOnDataFailure context state.Value
            reraise ()

    /// <summary>Runs the rest of a stage from a cursor, at which network and optimiser are.</summary>
    /// <remarks>
    /// Throws TrainingException on NaN or infinity if the rule is to stop or has been applied too often; DataException if the images cannot be
    /// read, after writing the last step on readable images; OperationCanceledException if the caller cancelled, and DeadlineException if the
    /// deadline has passed: between two steps, after writing a checkpoint.
    /// </remarks>
    let run
        (runOptions: RunOptions)
        (job: StageJob)
        (network: Network)
        (optimisation: Optimisation)
        (writer: CheckpointWriter)
        (start: TrainingCursor)
        =
        let train, heldOut = StageImages.split job.Recipe job.Dataset

        use step =
            new TrainingStep(
                runOptions.Ranks,
                runOptions.Accumulate,
                job.Recipe,
                network,
                optimisation,
                TrainingLoss.ofRecipe job.Recipe job.Teacher
            )

        use stop = new StageStop(runOptions)

        use recorder =
            new TelemetryRecorder(
                writer.Folder,
                runOptions,
                { Number = job.Number
                  Name = job.Name
                  Network = network
                  Optimisation = optimisation
                  Steps = StageImages.stepsOf job train
                  TestImages = StageImages.firstTestImages runOptions job network
                  Start = start }
            )

        let context =
            { Options = { runOptions with Cancellation = stop.Token }
              Job = job
              Network = network
              Optimisation = optimisation
              Step = step
              Writer = writer
              Recorder = recorder
              Stop = stop }

        optimisation.ClipCounts <- TrainingCursor.clipCounts start
        MemoryReuse.Enable()
        runOptions.OnEvent(StageStarted(job.Name, job.Recipe.Epochs, train.Count))

        if runOptions.OnNonFinite = Rollback && not writer.HasCheckpoint then
            writer.Write start

        trainEpochs context train (heldOutImages job.Dataset heldOut) start
