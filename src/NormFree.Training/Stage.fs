namespace NormFree.Training

open System
open System.Diagnostics
open System.Threading
open NormFree.Data
open NormFree.Distributed
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Training
open TorchSharp

/// <summary>One stage of a training: a recipe and the images.</summary>
type StageJob =
    {
        /// Names the stage in logs: what is binary in it.
        Name: string
        /// 1 or 2: each stage has random streams of its own.
        Number: int
        Recipe: Recipe
        Dataset: Dataset
        /// Logits of the teacher for a batch of images, where the loss is distillation.
        Teacher: (torch.Tensor -> torch.Tensor) option
    }

/// <summary>The training loop: epochs of steps, each followed by an evaluation.</summary>
[<RequireQualifiedAccess>]
module Stage =

    /// <summary>What a stage of this network is called.</summary>
    let name net =
        match net.Body with
        | Binary body -> Words.binarise body.Binarise
        | FullPrecision _ -> "full-precision"

    /// A stage under way. The position is always one to go on from: it changes between two steps only.
    type private Work =
        {
            Around: Surroundings
            Job: StageJob
            Network: Network
            Optimisation: Optimisation
            TrainingStep: TrainingStep
            Keeper: Keeper
            Recorder: Recorder
            /// Cancels the surroundings' token: at the wish of whoever runs a process that works alone, and of any rank once all know of it.
            Stop: CancellationTokenSource
            mutable Position: Position
            /// Behind the last batch of which an image could be read: whoever goes on from here reads those that could not be read since once more.
            mutable Read: Position
        }

    /// Batches left out one after the other, and checkpoints gone back to in an epoch, before a training is given up.
    let private mostAnswers = 10

    let private loss job (images: torch.Tensor) (logits: torch.Tensor) labels =
        match job.Recipe.Loss, job.Teacher with
        | CrossEntropy, _ -> Losses.CrossEntropy(logits, labels)
        | LabelSmoothing epsilon, _ -> Losses.LabelSmoothing(logits, labels, epsilon)
        | Distillation _, Some teacher ->
            let target = using (torch.no_grad ()) (fun _ -> teacher images)
            Losses.Distillation(logits, target)
        | Distillation teacher, None -> raise (TrainingException $"The teacher {teacher} was not loaded.")

    let private trouble work layer (batch: int list) what =
        { Stage = work.Job.Name
          Epoch = work.Position.Epoch + 1
          Step = work.Position.Step + 1
          Layer = layer
          Batch = batch
          What = what }

    let private notice work trouble =
        work.Position <- Position.noticing trouble work.Position
        work.Around.Watch(Unhealthy trouble)

    let private diverged work place what =
        raise (
            TrainingException
                $"{what} in stage {work.Job.Name}, epoch {work.Position.Epoch + 1}, {place}: the training has diverged. \
                  Checkpoints of earlier steps are intact. Lower the learning rate (it is {work.Position.Rate:g3}), add a warm-up, \
                  or go on with --on-nonfinite skip or rollback."
        )

    let private upperFirst (text: string) = text.Substring(0, 1).ToUpperInvariant() + text.Substring 1

    /// Ranks that have different things would go on to different networks.
    let private requireSame work wayOut =
        Together.requireSame
            work.Around.Ranks
            wayOut
            [ "weights", (fun () -> Fingerprint.ofTensors work.Network.Tensors)
              "state of the optimiser", (fun () -> Fingerprint.ofTensors work.Optimisation.State) ]

    /// All ranks go back to the newest checkpoint, which must be the same for all of them.
    let private goBack work =
        work.Keeper.GoBack()

        requireSame
            work
            "They went back to different checkpoints: give all ranks a run folder that all nodes share, and go on by --resume."

    /// Does what the rule says about numbers that are not finite; the batch that they were noticed in is left out.
    let private answer work trouble =
        notice work trouble

        let place =
            if trouble.Batch.IsEmpty then
                trouble.Layer
            else
                $"step {trouble.Step}, layer {trouble.Layer}"

        let health = work.Position.Health

        match work.Around.OnNonFinite with
        | Skip when not trouble.Batch.IsEmpty && work.Position.SkippedInARow < mostAnswers ->
            work.Position <-
                { work.Position with
                    Health = { health with Skipped = health.Skipped + 1 }
                    SkippedInARow = work.Position.SkippedInARow + 1 }
        | Rollback when health.RolledBack < mostAnswers ->
            goBack work
            work.Position <- { work.Position with Health = { health with RolledBack = health.RolledBack + 1 } }
        | Stop
        | Skip
        | Rollback -> diverged work place (upperFirst trouble.What)

    /// What is wrong with the gradients, if anything; their norm otherwise.
    let private checkedNorm work batch =
        match Numbers.gradient work.Optimisation with
        | Error parameter -> Error(trouble work parameter batch "the gradient is not finite")
        | Ok gradient ->
            Numbers.explodes work.Position gradient.Norm
            |> Option.iter (fun mean ->
                let times = gradient.Norm / mean

                let what =
                    $"the gradient's norm is {gradient.Norm:g3}, {times:F0} times its mean, and it is largest here"

                notice work (trouble work gradient.Largest batch what))

            Ok gradient.Norm

    /// The running statistics of batch norms as they are before a step, where a step may have to be undone.
    let private undoing work =
        if work.Around.OnNonFinite = Skip then
            let before = [ for _, tensor in work.Network.Buffers -> tensor, tensor.clone () ]

            fun () ->
                use _ = torch.no_grad ()

                for tensor, value in before do
                    tensor.copy_ value |> ignore
        else
            ignore

    /// Where the loss of these images stops being finite, as the first rank sees it whose images do that.
    let private guilty work (images: torch.Tensor) =
        let mine =
            if images.size 0 = 0L then
                "loss"
            else
                Numbers.firstNotFinite work.Network images

        let found = Together.firstOf work.Around.Ranks (if mine = "loss" then None else Some mine)
        found |> Option.defaultValue "loss"

    /// The gradient's norm, or what is wrong with the loss or the gradients.
    let private verdict work (found: Descended) images batch =
        if Double.IsFinite found.Sums.LossSum then
            checkedNorm work batch
        else
            let loss = found.Sums.Accuracy.Loss
            Error(trouble work (guilty work images) batch $"the loss is {loss}")

    /// Moves weights along their gradients, and shifts towards balance.
    let private move work =
        work.TrainingStep.Clip()
        work.TrainingStep.Move work.Position.Rate |> ignore

    /// Tells of the batch's images that any rank could not read; the batch's others.
    let private readable work (found: Descended) (places: int[]) (mine: Unreadable list) =
        if found.Unreadable = 0 then
            Array.toList places
        else
            let all = Together.unreadable work.Around.Ranks work.Position.SoFar.Unreadable mine
            all |> List.iter (ImageSkipped >> work.Around.Watch)
            List.ofArray places |> List.except [ for image in all -> image.Index ]

    /// One step on this rank's part of the batch of these places; a batch of which no rank can read an image is none.
    let private step work steps (batch: Batch) places unreadable =
        use _ = torch.NewDisposeScope()
        let before = work.Position
        let sample = work.Recorder.Begin before
        let undo = undoing work
        let images, labels = Evaluation.tensors work.Network batch

        let found =
            work.TrainingStep.Descend(images, labels, List.length unreadable, [ work.Recorder.Watch sample ])

        let places = readable work found places unreadable

        if found.Images > 0 then
            work.Position <- { before with Rate = Recipe.rate work.Job.Recipe steps before.Epoch before.Step }

            match verdict work found images places with
            | Ok norm ->
                work.Recorder.Around(sample, (fun () -> move work))

                work.Position <-
                    { work.Position with
                        Sums = before.Sums + found.Sums
                        Norms = before.Norms + norm
                        SkippedInARow = 0 }
            | Error trouble ->
                undo ()
                answer work trouble

            work.Position <- { work.Position with Step = before.Step + 1 }

        work.Position <-
            { work.Position with
                SoFar = { Places = batch.SoFar.Places; Unreadable = before.SoFar.Unreadable + found.Unreadable } }

    let private stepReport work total seconds : StepReport =
        let images = work.Position.SoFar.Places
        let speed = float images / max 1e-9 seconds
        let epochsLeft = work.Job.Recipe.Epochs - work.Position.Epoch - 1
        let left = float (total - images) + float total * float epochsLeft
        let accuracy = work.Position.Sums.Accuracy

        { Stage = work.Job.Name
          Epoch = work.Position.Epoch + 1
          Epochs = work.Job.Recipe.Epochs
          Images = images
          Total = total
          Loss = accuracy.Loss
          Top1 = accuracy.Top1
          ImagesPerSecond = speed
          Remaining = TimeSpan.FromSeconds(left / max 1e-9 speed) }

    /// Keys an epoch's random streams; no stage has so many epochs.
    let private streamOf (job: StageJob) number = job.Number * 1_000_000 + number

    let private loading work report =
        let job, around = work.Job, work.Around

        { BatchSize = job.Recipe.Batch
          Workers = around.Workers
          Prefetch = around.Workers + 2
          Steps = job.Dataset.Augmentation.Train
          Normalisation = job.Dataset.Normalisation
          Side = job.Dataset.Size
          Seed = job.Recipe.Seed
          Epoch = streamOf job work.Position.Epoch
          From = work.Position.SoFar
          Strict = around.Strict
          Report = report
          Cancellation = around.Cancellation }

    /// The position with what the optimiser counts.
    let private whole work = Position.withClipCounts work.Optimisation.ClipCounts work.Position

    /// Keeps a checkpoint, unless something is wrong with what it would hold.
    let private keep work =
        match Numbers.notFinite work.Network work.Optimisation with
        | Some tensor -> answer work (trouble work tensor [] "a value is not finite")
        | None -> ()

        work.Recorder.Keep()
        work.Keeper.Keep(whole work)

    /// Whether any rank is asked to do something; all of them must ask at the same places.
    let private anyRank work (isAsked: bool) =
        work.Around.Ranks.Sum [| (if isAsked then 1.0 else 0.0) |] |> Array.head > 0.0

    /// All ranks stop, because one of them must.
    let private stopTogether work (wish: CancellationToken) =
        if anyRank work wish.IsCancellationRequested then
            work.Stop.Cancel()

    /// What all ranks do behind a step, because one of them must: keep a checkpoint, or stop.
    let private agree work wish =
        if anyRank work work.Keeper.IsDue then
            keep work

        stopTogether work wish

    /// Steps of an epoch.
    let private stepsOf (job: StageJob) (source: ImageSource) = (source.Count + job.Recipe.Batch - 1) / job.Recipe.Batch

    /// The batches of the epoch that are not done yet.
    let private trainEpoch work wish (source: ImageSource) =
        let steps = stepsOf work.Job source
        let order = Loader.shuffled work.Job.Recipe.Seed (streamOf work.Job work.Position.Epoch) source.Count
        let clock, secondsBefore = Stopwatch.StartNew(), work.Position.Seconds
        let unreadable = ResizeArray()
        let mutable told = 0

        for batch in Loader.readShare (Together.share work.Around.Ranks) (loading work unreadable.Add) source order do
            // The loader still gives the batches that are ready.
            work.Around.Cancellation.ThrowIfCancellationRequested()
            let stepBefore = work.Position.Step
            let places = order[work.Position.SoFar.Places .. batch.SoFar.Places - 1]
            step work steps batch places (List.ofSeq (Seq.skip told unreadable))
            told <- unreadable.Count
            work.Position <- { work.Position with Seconds = secondsBefore + clock.Elapsed.TotalSeconds }

            if work.Position.Step > stepBefore then
                work.Read <- work.Position
                work.Around.Watch(StepDone(stepReport work source.Count work.Position.Seconds))
                agree work wish

        // A wish since the last step: an evaluation takes long, and ranks that stop within one would not stop together.
        stopTogether work wish
        work.Around.Cancellation.ThrowIfCancellationRequested()
        Loader.requireReadable source.Count work.Position.SoFar.Unreadable (Seq.tryHead unreadable)

    let private record work test heldOut shares : EpochRecord =
        let position = whole work
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

    /// What a network of this job must know of its images.
    let task (dataset: Dataset) : Task =
        { Dataset = dataset.Name
          Classes = dataset.Classes
          Size = dataset.Size
          Normalisation = dataset.Normalisation
          Preparation = dataset.Augmentation.Test }

    /// The images to train on, and those that are set aside.
    let internal split (recipe: Recipe) (dataset: Dataset) =
        if recipe.HeldOut > 0.0 then
            let train, heldOut = ImageSource.split recipe.HeldOut recipe.Seed dataset.Train

            if heldOut.Count = 0 || train.Count = 0 then
                raise (
                    TrainingException
                        $"Holding out {recipe.HeldOut} of {dataset.Train.Count} training images leaves {train.Count} to train on and {heldOut.Count} \
                          to choose the best epoch on. Take another share or more images."
                )

            train, Some heldOut
        else
            dataset.Train, None

    /// The first test images, that many at most, as the network gets them; nothing where none can be read, of which evaluations tell.
    /// They are few: nothing interrupts that.
    let private firstTestImages (around: Surroundings) (job: StageJob) network count =
        let options =
            { Evaluation.loading around (task job.Dataset) count with
                Strict = false
                Report = ignore
                Cancellation = CancellationToken.None }

        try
            Loader.read options job.Dataset.Test (Loader.inOrder (min job.Dataset.Test.Count count))
            |> Seq.tryHead
            |> Option.map (fun batch -> fst (Evaluation.tensors network batch))
        with :? DataException ->
            None

    /// The share of +1 by binary layer and channel for the first batch of test images.
    let private signShares work =
        use _ = torch.NewDisposeScope()

        firstTestImages work.Around work.Job work.Network work.Job.Recipe.Batch
        |> Option.map (SignLayers.shares work.Network)
        |> Option.defaultValue []

    /// What has diverged in an epoch's last step must not replace the checkpoint before it.
    let rec private requireSound work (evaluate: unit -> Accuracy) : Accuracy =
        let test = evaluate ()

        let problem =
            if not (Double.IsFinite test.Loss) then
                Some(trouble work "on the test set" [] $"the loss is {test.Loss}")
            else
                Numbers.notFinite work.Network work.Optimisation
                |> Option.map (fun tensor -> trouble work tensor [] "a value is not finite")

        match problem with
        | None -> test
        | Some problem ->
            answer work problem
            requireSound work evaluate

    let private runEpoch work wish train heldOut =
        let task = task work.Job.Dataset
        let accuracy source = Evaluation.accuracy work.Around task work.Job.Recipe.Batch work.Network source
        trainEpoch work wish train

        requireSame
            work
            "One of them computes otherwise than the others, or its memory is damaged: the epoch before this one is kept; go on from there on \
             other machines."

        let test = requireSound work (fun () -> accuracy work.Job.Dataset.Test)
        let shares = signShares work
        let record = record work test (Option.map accuracy heldOut) shares
        work.Optimisation.ClipCounts <- []

        work.Position <- { Position.startOf (work.Position.Epoch + 1) with SkippedInARow = work.Position.SkippedInARow }

        work.Recorder.EndEpoch(record, shares)
        work.Keeper.KeepEpoch(record, work.Position)
        work.Around.Watch(EpochDone record)

    let private isSound work = (Numbers.notFinite work.Network work.Optimisation).IsNone

    /// What interrupts a training keeps where it stands, unless something is wrong with that.
    let private keepInterrupted work =
        if isSound work then
            work.Recorder.Keep()
            work.Keeper.KeepAtInterruption(whole work)

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
        let train, heldOut = split job.Recipe job.Dataset

        use step =
            new TrainingStep(around.Ranks, around.Accumulate, job.Recipe, network, optimisation, loss job)

        use stop = stopOf around

        use recorder =
            new Recorder(
                keeper.Folder,
                around,
                { Number = job.Number
                  Name = job.Name
                  Network = network
                  Optimisation = optimisation
                  Steps = stepsOf job train
                  TestImages = firstTestImages around job network
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
            if work.Read.Step > 0 && work.Read.Epoch = work.Position.Epoch && isSound work then
                recorder.Keep()
                keeper.Keep(Position.withClipCounts optimisation.ClipCounts work.Read)

            reraise ()
