namespace NormFree.Training

open System.Threading
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>One stage of a training: a recipe and the images.</summary>
type StageJob =
    {
        /// The stage's name in logs: what is binary in it.
        Name: string
        /// 1 or 2. Each stage has random streams of its own.
        Number: int
        Recipe: Recipe
        Dataset: Dataset
        /// The teacher's logits for a batch of images, if the loss is distillation.
        Teacher: (torch.Tensor -> torch.Tensor) option
    }

/// Where the images of a stage come from.
[<RequireQualifiedAccess>]
module internal StageImages =

    /// The training images, and those held out to choose the best epoch on.
    let split (recipe: Recipe) (dataset: Dataset) =
        if recipe.HeldOut > 0.0 then
            let train, heldOut = ImageSource.split recipe.HeldOut recipe.Seed dataset.Train

            if heldOut.Count = 0 || train.Count = 0 then
                raise (
                    TrainingException
                        $"Holding out {recipe.HeldOut} of {dataset.Train.Count} training images leaves {train.Count} to train on and {heldOut.Count} \
                          to choose the best epoch on. Choose another fraction or add images."
                )

            train, Some heldOut
        else
            dataset.Train, None

    /// Whether the held-out images are the test images, as for a data set without any.
    let isTest (dataset: Dataset) (heldOut: ImageSource) =
        let test = dataset.Test

        heldOut.Count = test.Count
        && Seq.forall (fun i -> heldOut.Name i = test.Name i) (seq { 0 .. test.Count - 1 })

    /// Steps of one epoch.
    let stepsOf (job: StageJob) (source: ImageSource) = (source.Count + job.Recipe.Batch - 1) / job.Recipe.Batch

    /// The key of an epoch's random streams. No stage has a million epochs.
    let streamOf (job: StageJob) epoch = job.Number * 1_000_000 + epoch

    /// The first test images, at most `count`, preprocessed; None if none can be read, which evaluations report.
    let firstTestImages (runOptions: RunOptions) (job: StageJob) network count =
        let options =
            { Evaluation.loading runOptions (ImageTask.Of job.Dataset) count with
                Strict = false
                Report = ignore
                Cancellation = CancellationToken.None }

        try
            Loader.read options job.Dataset.Test (Loader.inOrder (min job.Dataset.Test.Count count))
            |> Seq.tryHead
            |> Option.map (fun batch -> fst (Evaluation.tensors network batch))
        with :? DataException ->
            None

/// What stays the same while a stage runs.
type internal StageContext =
    { Options: RunOptions
      Job: StageJob
      Network: Network
      Optimisation: Optimisation
      Step: TrainingStep
      Writer: CheckpointWriter
      Recorder: TelemetryRecorder
      Stop: StageStop }

/// Functions of a running stage.
[<RequireQualifiedAccess>]
module internal StageContext =

    /// A numerical issue noticed at this cursor.
    let issue (context: StageContext) (cursor: TrainingCursor) layer (batch: int list) what =
        { Stage = context.Job.Name
          Epoch = cursor.Epoch + 1
          Step = cursor.Step + 1
          Layer = layer
          Batch = batch
          What = what }

    /// The cursor with the optimiser's clip counts, as checkpoints hold it.
    let complete (context: StageContext) cursor = TrainingCursor.withClipCounts context.Optimisation.ClipCounts cursor

    /// Throws if ranks hold different weights or optimiser states: they would train different networks.
    let requireSame (context: StageContext) remedy =
        Collectives.requireSame
            context.Options.Ranks
            remedy
            [ "weights", (fun () -> Fingerprint.ofTensors context.Network.Tensors)
              "state of the optimiser", (fun () -> Fingerprint.ofTensors context.Optimisation.State) ]

    /// The loader's options for the rest of the cursor's epoch.
    let loading (context: StageContext) (cursor: TrainingCursor) report =
        let job, options = context.Job, context.Options

        { BatchSize = job.Recipe.Batch
          Workers = options.Workers
          Prefetch = options.Workers + 2
          Steps = job.Dataset.Augmentation.Train
          Normalisation = job.Dataset.Normalisation
          Side = job.Dataset.Size
          Seed = job.Recipe.Seed
          Epoch = StageImages.streamOf job cursor.Epoch
          From = cursor.Progress
          Strict = options.Strict
          Report = report
          Cancellation = options.Cancellation }
