namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// Numbers that are not finite, and what is done about them.
[<RequireQualifiedAccess>]
module internal StageHealth =

    /// Batches left out one after the other, and checkpoints gone back to in an epoch, before a training is given up.
    let private mostAnswers = 10

    let private diverged (work: StageWork) place what =
        raise (
            TrainingException
                $"{what} in stage {work.Job.Name}, epoch {work.TrainingCursor.Epoch + 1}, {place}: the training has diverged. \
                  Checkpoints of earlier steps are intact. Lower the learning rate (it is {work.TrainingCursor.Rate:g3}), add a warm-up, \
                  or go on with --on-nonfinite skip or rollback."
        )

    let private upperFirst (text: string) = text.Substring(0, 1).ToUpperInvariant() + text.Substring 1

    /// All ranks go back to the newest checkpoint, which must be the same for all of them.
    let private goBack (work: StageWork) =
        work.CheckpointWriter.GoBack()

        StageWork.requireSame
            work
            "They went back to different checkpoints: give all ranks a run folder that all nodes share, and go on by --resume."

    /// Does what the rule says about numbers that are not finite; the batch that they were noticed in is left out.
    let answer (work: StageWork) trouble =
        StageWork.notice work trouble

        let place =
            if trouble.Batch.IsEmpty then
                trouble.Layer
            else
                $"step {trouble.Step}, layer {trouble.Layer}"

        let health = work.TrainingCursor.Health

        match work.Options.OnNonFinite with
        | Skip when not trouble.Batch.IsEmpty && work.TrainingCursor.SkippedInARow < mostAnswers ->
            work.TrainingCursor <-
                { work.TrainingCursor with
                    Health = { health with Skipped = health.Skipped + 1 }
                    SkippedInARow = work.TrainingCursor.SkippedInARow + 1 }
        | Rollback when health.RolledBack < mostAnswers ->
            goBack work
            work.TrainingCursor <- { work.TrainingCursor with Health = { health with RolledBack = health.RolledBack + 1 } }
        | Stop
        | Skip
        | Rollback -> diverged work place (upperFirst trouble.What)

    /// What is wrong with the gradients, if anything; their norm otherwise.
    let private checkedNorm (work: StageWork) batch =
        match FiniteChecks.gradient work.Optimisation with
        | Error parameter -> Error(StageWork.trouble work parameter batch "the gradient is not finite")
        | Ok gradient ->
            FiniteChecks.explodes work.TrainingCursor gradient.Norm
            |> Option.iter (fun mean ->
                let times = gradient.Norm / mean

                let what =
                    $"the gradient's norm is {gradient.Norm:g3}, {times:F0} times its mean, and it is largest here"

                StageWork.notice work (StageWork.trouble work gradient.Largest batch what))

            Ok gradient.Norm

    /// The running statistics of batch norms as they are before a step, where a step may have to be undone.
    let undoing (work: StageWork) =
        if work.Options.OnNonFinite = Skip then
            let before = [ for _, tensor in work.Network.Buffers -> tensor, tensor.clone () ]

            fun () ->
                use _ = torch.no_grad ()

                for tensor, value in before do
                    tensor.copy_ value |> ignore
        else
            ignore

    /// Where the loss of these images stops being finite, as the first rank sees it whose images do that.
    let private guilty (work: StageWork) (images: torch.Tensor) =
        let mine =
            if images.size 0 = 0L then
                "loss"
            else
                FiniteChecks.firstNotFinite work.Network images

        let found = Collectives.firstOf work.Options.Ranks (if mine = "loss" then None else Some mine)
        found |> Option.defaultValue "loss"

    /// The gradient's norm, or what is wrong with the loss or the gradients.
    let verdict (work: StageWork) (found: GradientResult) images batch =
        if Double.IsFinite found.Sums.LossSum then
            checkedNorm work batch
        else
            let loss = found.Sums.Accuracy.Loss
            Error(StageWork.trouble work (guilty work images) batch $"the loss is {loss}")

    /// Keeps a checkpoint, unless something is wrong with what it would hold.
    let keep (work: StageWork) =
        match FiniteChecks.notFinite work.Network work.Optimisation with
        | Some tensor -> answer work (StageWork.trouble work tensor [] "a value is not finite")
        | None -> ()

        work.Recorder.Keep()
        work.CheckpointWriter.Keep(StageWork.whole work)

    /// What has diverged in an epoch's last step must not replace the checkpoint before it.
    let rec requireSound (work: StageWork) (evaluate: unit -> Accuracy) : Accuracy =
        let test = evaluate ()

        let problem =
            if not (Double.IsFinite test.Loss) then
                Some(StageWork.trouble work "on the test set" [] $"the loss is {test.Loss}")
            else
                FiniteChecks.notFinite work.Network work.Optimisation
                |> Option.map (fun tensor -> StageWork.trouble work tensor [] "a value is not finite")

        match problem with
        | None -> test
        | Some problem ->
            answer work problem
            requireSound work evaluate

    let isSound (work: StageWork) = (FiniteChecks.notFinite work.Network work.Optimisation).IsNone
