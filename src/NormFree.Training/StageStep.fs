namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Training
open TorchSharp

/// One step of a stage.
[<RequireQualifiedAccess>]
module internal StageStep =

    let loss (job: StageJob) (images: torch.Tensor) (logits: torch.Tensor) labels =
        match job.Recipe.Loss, job.Teacher with
        | CrossEntropy, _ -> Losses.CrossEntropy(logits, labels)
        | LabelSmoothing epsilon, _ -> Losses.LabelSmoothing(logits, labels, epsilon)
        | Distillation _, Some teacher ->
            let target = using (torch.no_grad ()) (fun _ -> teacher images)
            Losses.Distillation(logits, target)
        | Distillation teacher, None -> raise (TrainingException $"The teacher {teacher} was not loaded.")

    /// Clips, then moves weights along their gradients, and shifts and gains towards balance.
    let private move (work: StageWork) =
        work.TrainingStep.Clip()
        work.TrainingStep.Move work.TrainingCursor.Rate |> ignore

    /// Tells of the batch's images that any rank could not read; the batch's others.
    let private readable (work: StageWork) (found: GradientResult) (places: int[]) (mine: Unreadable list) =
        if found.Unreadable = 0 then
            Array.toList places
        else
            let all = Collectives.unreadable work.Options.Ranks work.TrainingCursor.Progress.Unreadable mine
            all |> List.iter (ImageSkipped >> work.Options.Watch)
            List.ofArray places |> List.except [ for image in all -> image.Index ]

    /// One step on this rank's part of the batch of these places; a batch of which no rank can read an image is none.
    let run (work: StageWork) steps (batch: Batch) places unreadable =
        use _ = torch.NewDisposeScope()
        let before = work.TrainingCursor
        let sample = work.Recorder.Begin before
        let undo = StageHealth.undoing work
        let images, labels = Evaluation.tensors work.Network batch

        let found =
            work.TrainingStep.Descend(images, labels, List.length unreadable, [ work.Recorder.Watch sample ])

        let places = readable work found places unreadable

        if found.Images > 0 then
            work.TrainingCursor <- { before with Rate = Recipe.rate work.Job.Recipe steps before.Epoch before.Step }

            match StageHealth.verdict work found images places with
            | Ok norm ->
                work.Recorder.Options(sample, (fun () -> move work))

                work.TrainingCursor <-
                    { work.TrainingCursor with
                        Sums = before.Sums + found.Sums
                        Norms = before.Norms + norm
                        SkippedInARow = 0 }
            | Error trouble ->
                undo ()
                StageHealth.answer work trouble

            work.TrainingCursor <- { work.TrainingCursor with Step = before.Step + 1 }

        work.TrainingCursor <-
            { work.TrainingCursor with
                Progress = { Places = batch.Progress.Places; Unreadable = before.Progress.Unreadable + found.Unreadable } }

    let report (work: StageWork) total seconds : StepReport =
        let images = work.TrainingCursor.Progress.Places
        let speed = float images / max 1e-9 seconds
        let epochsLeft = work.Job.Recipe.Epochs - work.TrainingCursor.Epoch - 1
        let left = float (total - images) + float total * float epochsLeft
        let accuracy = work.TrainingCursor.Sums.Accuracy

        { Stage = work.Job.Name
          Epoch = work.TrainingCursor.Epoch + 1
          Epochs = work.Job.Recipe.Epochs
          Images = images
          Total = total
          Loss = accuracy.Loss
          Top1 = accuracy.Top1
          ImagesPerSecond = speed
          Remaining = TimeSpan.FromSeconds(left / max 1e-9 speed) }
