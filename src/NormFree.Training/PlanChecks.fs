namespace NormFree.Training

open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// What must hold before a stage of a plan begins: whatever can be refused is refused here, with all that is wrong.
[<RequireQualifiedAccess>]
module internal PlanChecks =

    let require result =
        match result with
        | Ok value -> value
        | Error problems -> raise (TrainingException(problems |> List.map string |> String.concat "\n"))

    let requireKeepable (plan: Plan) =
        match plan.Options.Telemetry with
        | EverySteps every when every < 1 ->
            raise (TrainingException $"Telemetry looks inside the layers every 1 step or more, not every {every}.")
        | _ -> ()

        if plan.Options.CheckpointPolicy.Checkpoints < 1 then
            raise (
                TrainingException
                    $"A run keeps at least 1 checkpoint of a stage, not {plan.Options.CheckpointPolicy.Checkpoints}."
            )

        if plan.Options.OnNonFinite = Rollback && plan.Folder.IsNone then
            raise (
                TrainingException
                    "To go back to a checkpoint, a run needs a folder that it is kept in: choose one, or stop or skip."
            )

    /// Whether the network normalises maps of a single pixel somewhere.
    let normalisesPixels size net =
        match Shapes.infer (Lowering.lower net) { C = 3; H = size; W = size } with
        | Error _ -> false
        | Ok(operations, _) ->
            operations
            |> List.exists (fun (op, shape, _) ->
                match op with
                | Normalise _ -> shape.H * shape.W = 1
                | _ -> false)

    let requireDivision (plan: Plan) =
        if plan.Options.Accumulate < 1 then
            raise (
                TrainingException
                    $"A batch is computed in at least 1 part, not {plan.Options.Accumulate}: mend --accumulate."
            )

        if plan.Options.Ranks.Size > 1 && plan.Options.Device <> Cpu then
            raise (
                TrainingException
                    $"{plan.Options.Ranks.Size} ranks add up gradients in the processor's memory: choose device cpu, or a single process."
            )

    /// Batch norm divides by one less than the number of values: of a single one it makes NaN.
    let requireStatistics (plan: Plan) (recipe: Recipe) net =
        let images = (fst (StageImages.split recipe plan.Dataset)).Count
        let parts = plan.Options.BatchPartition.Parts
        let last = (images - 1) % recipe.Batch + 1
        let single = [ min recipe.Batch images; last ] |> List.exists (fun batch -> batch < 2 * parts)

        if single && normalisesPixels plan.Dataset.Size net then
            let divided = if parts = 1 then "" else $", each divided into {parts} parts,"

            raise (
                TrainingException
                    $"{images} images in batches of {recipe.Batch}{divided} leave a batch of one image, and batch norm has no statistics of the \
                      1×1 maps that {net.Name} makes of it. Choose another batch, another number of images, or larger images."
            )

    /// Batch norm ties the images of a batch together, so that a divided batch is another one.
    let tellOfStatistics (plan: Plan) net =
        let partition = plan.Options.BatchPartition

        if partition.Parts > 1 && not (Parameters.normsOf (Lowering.lower net)).IsEmpty then
            let parts = String.concat ", " partition.Description

            plan.Options.Watch(
                Warning
                    $"batch norm normalises each part of a divided batch ({parts}) by the part's own statistics, so that this training is another one \
                      than that of whole batches. Running statistics are the mean over the ranks, weighted by images. Networks without batch norm \
                      compute the same step however batches are divided."
            )

    let prepared (plan: Plan) recipe net =
        let recipe = require (Recipe.validate recipe)
        let net = Recipe.applyTo net recipe
        let fits = Validation.fits plan.Dataset.Size plan.Dataset.Size net |> Result.mapError (List.map string)
        let net = require fits

        if net.Classes <> plan.Dataset.Classes.Length then
            raise (
                TrainingException
                    $"{net.Name} tells {net.Classes} classes apart, the data set {plan.Dataset.Name} has {plan.Dataset.Classes.Length}."
            )

        requireDivision plan
        requireStatistics plan recipe net
        recipe, net

    /// The configuration of a run when it starts.
    let beginning (plan: Plan) (init: string option) net =
        let runOptions = plan.Options
        runOptions.Device.Require()

        let execution =
            runOptions.Execution.On(runOptions.Device.Type, torch.ScalarType.Float32)
            |> Result.mapError List.singleton
            |> require

        if execution <> runOptions.Execution then
            runOptions.Watch(
                Warning
                    $"on {Json.name runOptions.Device} the {Json.name execution.Engine} engine computes: the {Json.name runOptions.Execution.Engine} one is for the CPU."
            )

        tellOfStatistics plan net

        Configuration.describe plan.Configuration runOptions execution init net plan.Dataset

    let requireBinary (net: NetSpec) =
        if (Net.binaryBody net).IsNone then
            raise (TrainingException $"{net.Name} is a full-precision network: it has no binary weights to train.")

    /// Otherwise the best epoch would be chosen on images that stage 1 has trained on.
    let requireSameHoldOut (first: Recipe) (second: Recipe) =
        if second.HeldOut > 0.0 && (first.HeldOut, first.Seed) <> (second.HeldOut, second.Seed) then
            raise (
                TrainingException
                    $"Stage 2 holds out {second.HeldOut} of the images with seed {second.Seed}, stage 1 {first.HeldOut} with seed {first.Seed}: \
                      give both stages the same share and seed, so that stage 2 is not judged by images of stage 1's training."
            )
