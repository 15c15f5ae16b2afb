namespace NormFree.Training

open System
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Training

/// What a stage reports about its steps and epochs.
[<RequireQualifiedAccess>]
module internal StageRecords =

    /// The report of a step, for an epoch of `total` images.
    let step (context: StageContext) (cursor: TrainingCursor) total : StepReport =
        let images, recipe = cursor.Progress.Places, context.Job.Recipe
        let speed = float images / max 1e-9 cursor.Seconds
        let left = float (total - images) + float total * float (recipe.Epochs - cursor.Epoch - 1)
        let accuracy = cursor.Sums.Accuracy

        { Stage = context.Job.Name
          Epoch = cursor.Epoch + 1
          Epochs = recipe.Epochs
          Images = images
          Total = total
          Loss = accuracy.Loss
          Top1 = accuracy.Top1
          ImagesPerSecond = speed
          Remaining = TimeSpan.FromSeconds(left / max 1e-9 speed) }

    /// The log's record of an epoch.
    let epoch (context: StageContext) (cursor: TrainingCursor) test heldOut shares : EpochRecord =
        let cursor = StageContext.complete context cursor
        let clipped = TrainingCursor.clipCounts cursor
        let allClipped = clipped |> List.map snd |> List.fold (+) (ClipCount())

        { Stage = context.Job.Name
          Epoch = cursor.Epoch + 1
          Epochs = context.Job.Recipe.Epochs
          LearningRate = cursor.Rate
          Train = cursor.Sums.Accuracy
          Test = test
          HeldOut = heldOut
          Clipped = allClipped.Fraction
          ClippedOf = clipped |> List.map (fun (key, count) -> key, Math.Round(count.Fraction, 4))
          Unreadable = cursor.Progress.Unreadable
          Health = Some { cursor.Health with OneSign = FiniteChecks.oneSign shares }
          Seconds = cursor.Seconds }
