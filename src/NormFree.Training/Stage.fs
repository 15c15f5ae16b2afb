namespace NormFree.Training

open System
open System.Diagnostics
open System.Threading
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Training
open TorchSharp

/// <summary>The training loop: epochs of steps, each followed by an evaluation.</summary>
[<RequireQualifiedAccess>]
module Stage =

    /// <summary>What a stage of this network is called.</summary>
    let name net =
        match net.Body with
        | Binary body -> Names.binarise body.Binarise
        | FullPrecision _ -> "full-precision"

    /// Whether any rank is asked to do something; all of them must ask at the same places.
    let private anyRank (work: StageWork) (isAsked: bool) =
        work.Options.Ranks.Sum [| (if isAsked then 1.0 else 0.0) |] |> Array.head > 0.0

    /// All ranks stop, because one of them must.
    let private stopTogether (work: StageWork) (wish: CancellationToken) =
        if anyRank work wish.IsCancellationRequested then
            work.Stop.Cancel()

    /// What all ranks do behind a step, because one of them must: keep a checkpoint, or stop.
    let private agree (work: StageWork) wish =
        if anyRank work work.CheckpointWriter.IsDue then
            StageHealth.keep work

        stopTogether work wish

    /// The batches of the epoch that are not done yet.
    let private trainEpoch (work: StageWork) wish (source: ImageSource) =
        let steps = StageImages.stepsOf work.Job source

        let order =
            Loader.shuffled work.Job.Recipe.Seed (StageImages.streamOf work.Job work.TrainingCursor.Epoch) source.Count

        let clock, secondsBefore = Stopwatch.StartNew(), work.TrainingCursor.Seconds
        let unreadable = ResizeArray()
        let mutable told = 0

        for batch in
            Loader.readShare (Collectives.share work.Options.Ranks) (StageWork.loading work unreadable.Add) source order do
            // The loader still gives the batches that are ready.
            work.Options.Cancellation.ThrowIfCancellationRequested()
            let stepBefore = work.TrainingCursor.Step
            let places = order[work.TrainingCursor.Progress.Places .. batch.Progress.Places - 1]
            StageStep.run work steps batch places (List.ofSeq (Seq.skip told unreadable))
            told <- unreadable.Count
            work.TrainingCursor <- { work.TrainingCursor with Seconds = secondsBefore + clock.Elapsed.TotalSeconds }

            if work.TrainingCursor.Step > stepBefore then
                work.Read <- work.TrainingCursor
                work.Options.Watch(StepDone(StageStep.report work source.Count work.TrainingCursor.Seconds))
                agree work wish

        // A wish since the last step: an evaluation takes long, and ranks that stop within one would not stop together.
        stopTogether work wish
        work.Options.Cancellation.ThrowIfCancellationRequested()
        Loader.requireReadable source.Count work.TrainingCursor.Progress.Unreadable (Seq.tryHead unreadable)

    let private record (work: StageWork) test heldOut shares : EpochRecord =
        let position = StageWork.whole work
        let clipped = TrainingCursor.clipCounts position
        let allClipped = clipped |> List.map snd |> List.fold (+) (ClipCount())

        { Stage = work.Job.Name
          Epoch = position.Epoch + 1
          Epochs = work.Job.Recipe.Epochs
          LearningRate = position.Rate
          Train = position.Sums.Accuracy
          Test = test
          HeldOut = heldOut
          Clipped = allClipped.Fraction
          ClippedOf = clipped |> List.map (fun (key, count) -> key, Math.Round(count.Fraction, 4))
          Unreadable = position.Progress.Unreadable
          Health = Some { position.Health with OneSign = FiniteChecks.oneSign shares }
          Seconds = position.Seconds }

    /// The share of +1 by binary layer and channel for the first batch of test images.
    let private signShares (work: StageWork) =
        use _ = torch.NewDisposeScope()

        StageImages.firstTestImages work.Options work.Job work.Network work.Job.Recipe.Batch
        |> Option.map (SignLayers.shares work.Network)
        |> Option.defaultValue []

    let private runEpoch (work: StageWork) wish train heldOut =
        let task = ImageTask.Of work.Job.Dataset
        let accuracy source = Evaluation.accuracy work.Options task work.Job.Recipe.Batch work.Network source
        trainEpoch work wish train

        StageWork.requireSame
            work
            "One of them computes otherwise than the others, or its memory is damaged: the epoch before this one is kept; go on from there on \
             other machines."

        let test = StageHealth.requireSound work (fun () -> accuracy work.Job.Dataset.Test)
        let shares = signShares work
        let record = record work test (Option.map accuracy heldOut) shares
        work.Optimisation.ClipCounts <- []

        work.TrainingCursor <- { TrainingCursor.startOf (work.TrainingCursor.Epoch + 1) with SkippedInARow = work.TrainingCursor.SkippedInARow }

        work.Recorder.EndEpoch(record, shares)
        work.CheckpointWriter.KeepEpoch(record, work.TrainingCursor)
        work.Options.Watch(EpochDone record)

    /// What interrupts a training keeps where it stands, unless something is wrong with that.
    let private keepInterrupted (work: StageWork) =
        if StageHealth.isSound work then
            work.Recorder.Keep()
            work.CheckpointWriter.KeepAtInterruption(StageWork.whole work)

        // Nobody leaves before the first rank has kept it.
        work.Options.Ranks.Meet()

    /// What cancels the surroundings' token: the wish of whoever runs a process that works alone; of several, what they agree on.
    let private stopOf (runOptions: RunOptions) =
        if runOptions.Ranks.Size = 1 then
            CancellationTokenSource.CreateLinkedTokenSource runOptions.Cancellation
        else
            new CancellationTokenSource()

    /// <summary>Runs what is left of a stage behind a position, at which network and optimiser stand.</summary>
    /// <remarks>
    /// Throws TrainingException where numbers are not finite and the rule is to stop, or has been tried too often; DataException where the images
    /// cannot be read, and the last step on images that could be is kept; OperationCanceledException where the surroundings' token was cancelled:
    /// between two steps, and where the training stands then is kept.
    /// </remarks>
    let internal run
        (runOptions: RunOptions)
        (job: StageJob)
        (network: Network)
        (optimisation: Optimisation)
        (keeper: CheckpointWriter)
        (start: TrainingCursor)
        =
        let train, heldOut = StageImages.split job.Recipe job.Dataset

        use step =
            new TrainingStep(runOptions.Ranks, runOptions.Accumulate, job.Recipe, network, optimisation, StageStep.loss job)

        use stop = stopOf runOptions

        use recorder =
            new Recorder(
                keeper.Folder,
                runOptions,
                { Number = job.Number
                  Name = job.Name
                  Network = network
                  Optimisation = optimisation
                  Steps = StageImages.stepsOf job train
                  TestImages = StageImages.firstTestImages runOptions job network
                  Start = start }
            )

        let work =
            { Options = { runOptions with Cancellation = stop.Token }
              Job = job
              Network = network
              Optimisation = optimisation
              TrainingStep = step
              CheckpointWriter = keeper
              Recorder = recorder
              Stop = stop
              TrainingCursor = start
              Read = start }

        optimisation.ClipCounts <- TrainingCursor.clipCounts start
        MemoryReuse.Enable()
        runOptions.Watch(StageStarted(job.Name, job.Recipe.Epochs, train.Count))

        if runOptions.OnNonFinite = Rollback && not keeper.HasCheckpoint then
            keeper.Keep start

        try
            while work.TrainingCursor.Epoch < job.Recipe.Epochs do
                runEpoch work runOptions.Cancellation train heldOut
        with
        | :? OperationCanceledException when stop.IsCancellationRequested ->
            keepInterrupted work
            reraise ()
        | :? DataException ->
            // The images may come back; that they went is what must be told, whether or not this can be kept.
            if work.Read.Step > 0 && work.Read.Epoch = work.TrainingCursor.Epoch && StageHealth.isSound work then
                recorder.Keep()
                keeper.Keep(TrainingCursor.withClipCounts optimisation.ClipCounts work.Read)

            reraise ()
