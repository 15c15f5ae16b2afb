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
        | Binary body -> Words.binarise body.Binarise
        | FullPrecision _ -> "full-precision"

    /// Whether any rank is asked to do something; all of them must ask at the same places.
    let private anyRank (work: StageWork) (isAsked: bool) =
        work.Around.Ranks.Sum [| (if isAsked then 1.0 else 0.0) |] |> Array.head > 0.0

    /// All ranks stop, because one of them must.
    let private stopTogether (work: StageWork) (wish: CancellationToken) =
        if anyRank work wish.IsCancellationRequested then
            work.Stop.Cancel()

    /// What all ranks do behind a step, because one of them must: keep a checkpoint, or stop.
    let private agree (work: StageWork) wish =
        if anyRank work work.Keeper.IsDue then
            StageHealth.keep work

        stopTogether work wish

    /// The batches of the epoch that are not done yet.
    let private trainEpoch (work: StageWork) wish (source: ImageSource) =
        let steps = StageImages.stepsOf work.Job source

        let order =
            Loader.shuffled work.Job.Recipe.Seed (StageImages.streamOf work.Job work.Position.Epoch) source.Count

        let clock, secondsBefore = Stopwatch.StartNew(), work.Position.Seconds
        let unreadable = ResizeArray()
        let mutable told = 0

        for batch in
            Loader.readShare (Together.share work.Around.Ranks) (StageWork.loading work unreadable.Add) source order do
            // The loader still gives the batches that are ready.
            work.Around.Cancellation.ThrowIfCancellationRequested()
            let stepBefore = work.Position.Step
            let places = order[work.Position.SoFar.Places .. batch.SoFar.Places - 1]
            StageStep.run work steps batch places (List.ofSeq (Seq.skip told unreadable))
            told <- unreadable.Count
            work.Position <- { work.Position with Seconds = secondsBefore + clock.Elapsed.TotalSeconds }

            if work.Position.Step > stepBefore then
                work.Read <- work.Position
                work.Around.Watch(StepDone(StageStep.report work source.Count work.Position.Seconds))
                agree work wish

        // A wish since the last step: an evaluation takes long, and ranks that stop within one would not stop together.
        stopTogether work wish
        work.Around.Cancellation.ThrowIfCancellationRequested()
        Loader.requireReadable source.Count work.Position.SoFar.Unreadable (Seq.tryHead unreadable)

    let private record (work: StageWork) test heldOut shares : EpochRecord =
        let position = StageWork.whole work
        let clipped = Position.clipCounts position
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
          Unreadable = position.SoFar.Unreadable
          Health = Some { position.Health with OneSign = Numbers.oneSign shares }
          Seconds = position.Seconds }

    /// The share of +1 by binary layer and channel for the first batch of test images.
    let private signShares (work: StageWork) =
        use _ = torch.NewDisposeScope()

        StageImages.firstTestImages work.Around work.Job work.Network work.Job.Recipe.Batch
        |> Option.map (SignLayers.shares work.Network)
        |> Option.defaultValue []

    let private runEpoch (work: StageWork) wish train heldOut =
        let task = Task.Of work.Job.Dataset
        let accuracy source = Evaluation.accuracy work.Around task work.Job.Recipe.Batch work.Network source
        trainEpoch work wish train

        StageWork.requireSame
            work
            "One of them computes otherwise than the others, or its memory is damaged: the epoch before this one is kept; go on from there on \
             other machines."

        let test = StageHealth.requireSound work (fun () -> accuracy work.Job.Dataset.Test)
        let shares = signShares work
        let record = record work test (Option.map accuracy heldOut) shares
        work.Optimisation.ClipCounts <- []

        work.Position <- { Position.startOf (work.Position.Epoch + 1) with SkippedInARow = work.Position.SkippedInARow }

        work.Recorder.EndEpoch(record, shares)
        work.Keeper.KeepEpoch(record, work.Position)
        work.Around.Watch(EpochDone record)

    /// What interrupts a training keeps where it stands, unless something is wrong with that.
    let private keepInterrupted (work: StageWork) =
        if StageHealth.isSound work then
            work.Recorder.Keep()
            work.Keeper.KeepAtInterruption(StageWork.whole work)

        // Nobody leaves before the first rank has kept it.
        work.Around.Ranks.Meet()

    /// What cancels the surroundings' token: the wish of whoever runs a process that works alone; of several, what they agree on.
    let private stopOf (around: Surroundings) =
        if around.Ranks.Size = 1 then
            CancellationTokenSource.CreateLinkedTokenSource around.Cancellation
        else
            new CancellationTokenSource()

    /// <summary>Runs what is left of a stage behind a position, at which network and optimiser stand.</summary>
    /// <remarks>
    /// Throws TrainingException where numbers are not finite and the rule is to stop, or has been tried too often; DataException where the images
    /// cannot be read, and the last step on images that could be is kept; OperationCanceledException where the surroundings' token was cancelled:
    /// between two steps, and where the training stands then is kept.
    /// </remarks>
    let internal run
        (around: Surroundings)
        (job: StageJob)
        (network: Network)
        (optimisation: Optimisation)
        (keeper: Keeper)
        (start: Position)
        =
        let train, heldOut = StageImages.split job.Recipe job.Dataset

        use step =
            new TrainingStep(around.Ranks, around.Accumulate, job.Recipe, network, optimisation, StageStep.loss job)

        use stop = stopOf around

        use recorder =
            new Recorder(
                keeper.Folder,
                around,
                { Number = job.Number
                  Name = job.Name
                  Network = network
                  Optimisation = optimisation
                  Steps = StageImages.stepsOf job train
                  TestImages = StageImages.firstTestImages around job network
                  Start = start }
            )

        let work =
            { Around = { around with Cancellation = stop.Token }
              Job = job
              Network = network
              Optimisation = optimisation
              TrainingStep = step
              Keeper = keeper
              Recorder = recorder
              Stop = stop
              Position = start
              Read = start }

        optimisation.ClipCounts <- Position.clipCounts start
        MemoryReuse.Enable()
        around.Watch(StageBegins(job.Name, job.Recipe.Epochs, train.Count))

        if around.OnNonFinite = Rollback && not keeper.HasCheckpoint then
            keeper.Keep start

        try
            while work.Position.Epoch < job.Recipe.Epochs do
                runEpoch work around.Cancellation train heldOut
        with
        | :? OperationCanceledException when stop.IsCancellationRequested ->
            keepInterrupted work
            reraise ()
        | :? DataException ->
            // The images may come back; that they went is what must be told, whether or not this can be kept.
            if work.Read.Step > 0 && work.Read.Epoch = work.Position.Epoch && StageHealth.isSound work then
                recorder.Keep()
                keeper.Keep(Position.withClipCounts optimisation.ClipCounts work.Read)

            reraise ()
