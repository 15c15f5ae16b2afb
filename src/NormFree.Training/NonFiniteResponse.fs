namespace NormFree.Training

open System
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// Detects NaN, infinity and exploding gradients, and responds as <c>RunOptions.OnNonFinite</c> says.
[<RequireQualifiedAccess>]
module internal NonFiniteResponse =

    /// Batches skipped in a row, and rollbacks in an epoch, before training stops.
    let private mostResponses = 10

    let private diverged (context: StageContext) (cursor: TrainingCursor) place what =
        let kept =
            if context.Writer.HasCheckpoint then
                "Checkpoints of earlier steps are intact. "
            else
                ""

        raise (
            TrainingException
                $"{what} in stage {context.Job.Name}, epoch {cursor.Epoch + 1}, {place}: the training has diverged. \
                  {kept}Lower the learning rate (it is {cursor.Rate:g3}), add a warm-up, \
                  or resume with --on-nonfinite skip or rollback."
        )

    let private upperFirst (text: string) = text.Substring(0, 1).ToUpperInvariant() + text.Substring 1

    /// Rolls all ranks back to the newest checkpoint, which must be the same for all of them.
    let private rollBack (context: StageContext) (cursor: TrainingCursor) =
        context.Writer.RollBack()
        // The checkpoint may be of the epochs with a frozen body.
        context.Optimisation.StartEpoch cursor.Epoch

        StageContext.requireSame
            context
            "They rolled back to different checkpoints: give all ranks a run folder that all nodes share, and resume with --resume."

    /// The cursor with an issue added, which is also reported as an event.
    let private notice (context: StageContext) issue cursor =
        context.Options.OnEvent(NumericalIssueFound issue)
        TrainingCursor.noticing issue cursor

    /// Responds to an issue; the batch in which it was found does not count. Throws if the rule is to stop.
    let respond (context: StageContext) (issue: NumericalIssue) (cursor: TrainingCursor) : TrainingCursor =
        let cursor = notice context issue cursor
        let health = cursor.Health

        match context.Options.OnNonFinite with
        | Skip when not issue.Batch.IsEmpty && cursor.SkippedInARow < mostResponses ->
            { cursor with
                Health = { health with Skipped = health.Skipped + 1 }
                SkippedInARow = cursor.SkippedInARow + 1 }
        | Rollback when health.RolledBack < mostResponses ->
            rollBack context cursor
            { cursor with Health = { health with RolledBack = health.RolledBack + 1 } }
        | Stop
        | Skip
        | Rollback ->
            let place =
                if issue.Batch.IsEmpty then
                    issue.Layer
                else
                    $"step {issue.Step}, layer {issue.Layer}"

            diverged context cursor place (upperFirst issue.What)

    /// The gradient's norm with the cursor, or the issue: a gradient that is not finite. A gradient that explodes is only noticed.
    let private checkGradient (context: StageContext) cursor batch =
        match FiniteChecks.gradient context.Optimisation with
        | Error parameter -> Error(StageContext.issue context cursor parameter batch "the gradient is not finite")
        | Ok gradient ->
            match FiniteChecks.explodes cursor gradient.Norm with
            | None -> Ok(cursor, gradient.Norm)
            | Some mean ->
                let what =
                    $"the gradient's norm is {gradient.Norm:g3}, {gradient.Norm / mean:F0} times its mean, and it is largest here"

                let issue = StageContext.issue context cursor gradient.Largest batch what
                Ok(notice context issue cursor, gradient.Norm)

    /// The first layer at which the loss of these images stops being finite, as the first rank reports it that finds one; else the loss itself.
    let private firstLayer (context: StageContext) (images: torch.Tensor) =
        let mine =
            if images.size 0 = 0L then
                None
            else
                FiniteChecks.firstNotFinite context.Network images

        Collectives.firstOf context.Options.Ranks mine |> Option.defaultValue "loss"

    /// The gradient's norm with the cursor, or what is wrong with the loss or the gradients of a step.
    let check (context: StageContext) cursor (result: GradientResult) images batch =
        if Double.IsFinite result.Sums.LossSum then
            checkGradient context cursor batch
        else
            let what = $"the loss is {result.Sums.Accuracy.Loss}"
            Error(StageContext.issue context cursor (firstLayer context images) batch what)

    /// Restores the running statistics of batch norms to what they are now; does nothing unless batches may be skipped.
    let undo (context: StageContext) =
        if context.Options.OnNonFinite = Skip then
            let before = [ for _, tensor in context.Network.Buffers -> tensor, tensor.clone () ]

            fun () ->
                use _ = torch.no_grad ()

                for tensor, value in before do
                    tensor.copy_ value |> ignore
        else
            ignore

    /// Whether all tensors of network and optimiser are finite.
    let isFinite (context: StageContext) = (FiniteChecks.notFinite context.Network context.Optimisation).IsNone

    let private issueInTensors (context: StageContext) cursor =
        FiniteChecks.notFinite context.Network context.Optimisation
        |> Option.map (fun tensor -> StageContext.issue context cursor tensor [] "a value is not finite")

    /// Writes a checkpoint, after a response if it would contain NaN or infinity.
    let writeCheckpoint (context: StageContext) cursor =
        let cursor =
            issueInTensors context cursor
            |> Option.fold (fun cursor issue -> respond context issue cursor) cursor

        context.Recorder.Write()
        context.Writer.Write(StageContext.complete context cursor)
        cursor

    /// Evaluates until the result and all tensors are finite: an epoch that diverged in its last step must not replace earlier checkpoints.
    let rec evaluate
        (context: StageContext)
        (evaluation: unit -> Accuracy)
        (cursor: TrainingCursor)
        : Accuracy * TrainingCursor =
        let test = evaluation ()

        let issue =
            if Double.IsFinite test.Loss then
                issueInTensors context cursor
            else
                Some(StageContext.issue context cursor "on the test set" [] $"the loss is {test.Loss}")

        match issue with
        | None -> test, cursor
        | Some issue -> respond context issue cursor |> evaluate context evaluation
