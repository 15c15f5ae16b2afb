namespace NormFree.Training

open System.Threading
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
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

/// The images of a stage, and how they are read.
[<RequireQualifiedAccess>]
module internal StageImages =

    /// The images to train on, and those that are set aside.
    let split (recipe: Recipe) (dataset: Dataset) =
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

    /// Steps of an epoch.
    let stepsOf (job: StageJob) (source: ImageSource) = (source.Count + job.Recipe.Batch - 1) / job.Recipe.Batch

    /// Keys an epoch's random streams; no stage has so many epochs.
    let streamOf (job: StageJob) number = job.Number * 1_000_000 + number

    /// The first test images, that many at most, as the network gets them; nothing where none can be read, of which evaluations tell.
    /// They are few: nothing interrupts that.
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
