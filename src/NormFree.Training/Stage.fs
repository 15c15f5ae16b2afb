namespace NormFree.Training

open System
open System.Diagnostics
open NormFree.Data
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Training
open TorchSharp

/// <summary>One stage of a training: a network, a recipe, and the images.</summary>
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
        /// Epochs of this stage that are done already.
        Done: int
    }

/// <summary>The training loop: epochs of steps, each followed by an evaluation.</summary>
[<RequireQualifiedAccess>]
module Stage =

    /// <summary>What a stage of this network is called.</summary>
    let name net =
        match net.Body with
        | Binary body -> Words.binarise body.Binarise
        | FullPrecision _ -> "full-precision"

    /// Means over an epoch that is under way.
    type private Epoch =
        { Number: int // from 0
          Steps: int
          Tally: Tally
          Clock: Stopwatch
          mutable Step: int
          mutable Unreadable: int
          mutable Rate: float }

    let private loss job (images: torch.Tensor) (logits: torch.Tensor) labels =
        match job.Recipe.Loss, job.Teacher with
        | CrossEntropy, _ -> Losses.CrossEntropy(logits, labels)
        | LabelSmoothing epsilon, _ -> Losses.LabelSmoothing(logits, labels, epsilon)
        | Distillation _, Some teacher ->
            let target = using (torch.no_grad ()) (fun _ -> teacher images)
            Losses.Distillation(logits, target)
        | Distillation teacher, None -> raise (TrainingException $"The teacher {teacher} was not loaded.")

    let private requireFinite job epoch place (value: float) =
        if not (Double.IsFinite value) then
            raise (
                TrainingException
                    $"The loss is {value} in stage {job.Name}, epoch {epoch.Number + 1}, {place}: the training has diverged. \
                      Checkpoints of earlier epochs are intact. Lower the learning rate (it is {epoch.Rate:g3}) or add a warm-up."
            )

    let private step job (network: Network) (optimisation: Optimisation) epoch (batch: Batch) =
        use _ = torch.NewDisposeScope()
        let images, labels = Evaluation.tensors network batch
        epoch.Rate <- Recipe.rate job.Recipe epoch.Steps epoch.Number epoch.Step
        let logits = network.Forward(images, Train)
        let loss = loss job images logits labels
        let value = float (loss.item<float32>())
        requireFinite job epoch $"step {epoch.Step + 1}" value
        network.Backward loss
        optimisation.Step epoch.Rate
        epoch.Tally.Add(logits.detach (), labels, value)
        epoch.Step <- epoch.Step + 1

    let private stepReport job epoch total : StepReport =
        let seconds = epoch.Clock.Elapsed.TotalSeconds
        let images = epoch.Tally.Images
        let speed = float images / max 1e-9 seconds
        let left = float (total - images) + float total * float (job.Recipe.Epochs - epoch.Number - 1)
        let accuracy = epoch.Tally.Accuracy

        { Stage = job.Name
          Epoch = epoch.Number + 1
          Epochs = job.Recipe.Epochs
          Images = images
          Total = total
          Loss = accuracy.Loss
          Top1 = accuracy.Top1
          ImagesPerSecond = speed
          Remaining = TimeSpan.FromSeconds(left / max 1e-9 speed) }

    /// Keys an epoch's random streams; no stage has so many epochs.
    let private streamOf (job: StageJob) number = job.Number * 1_000_000 + number

    let private loading (around: Surroundings) job (epoch: Epoch) =
        let recipe, dataset = job.Recipe, job.Dataset

        { BatchSize = recipe.Batch
          Workers = around.Workers
          Prefetch = around.Workers + 2
          Steps = dataset.Augmentation.Train
          Normalisation = dataset.Normalisation
          Side = dataset.Size
          Seed = recipe.Seed
          Epoch = streamOf job epoch.Number
          Strict = around.Strict
          Report =
            fun image ->
                epoch.Unreadable <- epoch.Unreadable + 1
                around.Watch(ImageSkipped image)
          Cancellation = around.Cancellation }

    let private trainEpoch around job network optimisation (source: ImageSource) number =
        let epoch =
            { Number = number
              Steps = (source.Count + job.Recipe.Batch - 1) / job.Recipe.Batch
              Tally = Tally()
              Clock = Stopwatch.StartNew()
              Step = 0
              Unreadable = 0
              Rate = 0.0 }

        let order = Loader.shuffled job.Recipe.Seed (streamOf job number) source.Count

        for batch in Loader.read (loading around job epoch) source order do
            // The loader still gives the batches that are ready.
            around.Cancellation.ThrowIfCancellationRequested()
            step job network optimisation epoch batch
            around.Watch(StepDone(stepReport job epoch source.Count))

        epoch.Clock.Stop()
        epoch

    let private record job (epoch: Epoch) (clipped: (string * ClipCount) list) test heldOut =
        let allClipped = clipped |> List.map snd |> List.fold (+) (ClipCount())

        { Stage = job.Name
          Epoch = epoch.Number + 1
          Epochs = job.Recipe.Epochs
          LearningRate = epoch.Rate
          Train = epoch.Tally.Accuracy
          Test = test
          HeldOut = heldOut
          Clipped = allClipped.Fraction
          ClippedOf = clipped |> List.map (fun (key, count) -> key, Math.Round(count.Fraction, 4))
          Unreadable = epoch.Unreadable
          Seconds = epoch.Clock.Elapsed.TotalSeconds }

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

    /// <summary>Runs the epochs of a stage that are not done yet.</summary>
    /// <remarks>
    /// <c>keep</c> is called after every epoch with its record, while network and optimiser stand as they do at its end. Throws
    /// TrainingException where the loss of a step or on the test set is not finite, DataException where the images cannot be read, OperationCanceledException where the
    /// surroundings' token was cancelled: between two steps, the epoch is lost.
    /// </remarks>
    let run
        (around: Surroundings)
        (job: StageJob)
        (network: Network)
        (optimisation: Optimisation)
        (keep: EpochRecord -> unit)
        =
        let train, heldOut = split job.Recipe job.Dataset
        let task = task job.Dataset
        let accuracy source = Evaluation.accuracy around task job.Recipe.Batch network source
        MemoryReuse.Enable()
        around.Watch(StageBegins(job.Name, job.Recipe.Epochs, train.Count))

        for number in job.Done .. job.Recipe.Epochs - 1 do
            let epoch = trainEpoch around job network optimisation train number
            let test = accuracy job.Dataset.Test
            // What has diverged in the last step must not replace the checkpoint before it.
            requireFinite job epoch "on the test set" test.Loss
            let record = record job epoch (optimisation.TakeClipCounts()) test (Option.map accuracy heldOut)
            keep record
            around.Watch(EpochDone record)
