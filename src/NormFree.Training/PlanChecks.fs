namespace NormFree.Training

open System.IO
open NormFree.Data
open NormFree.Distributed
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Native
open TorchSharp

/// Validates a plan before a stage starts, and reports all problems at once.
[<RequireQualifiedAccess>]
module internal PlanChecks =

    let require result =
        match result with
        | Ok value -> value
        | Error problems ->
            raise (
                TrainingException(problems |> List.map string |> Array.ofList |> Printable.List |> String.concat "\n")
            )

    let requireOptions (plan: Plan) =
        match plan.Options.Telemetry with
        | EverySteps every when every < 1 ->
            raise (TrainingException $"Telemetry samples every n-th step with n ≥ 1, not {every}.")
        | _ -> ()

        if plan.Options.CheckpointPolicy.Checkpoints < 1 then
            raise (
                TrainingException
                    $"A run keeps at least 1 checkpoint per stage, not {plan.Options.CheckpointPolicy.Checkpoints}."
            )

        if plan.Options.OnNonFinite = Rollback && plan.Folder.IsNone then
            raise (
                TrainingException
                    "Rollback needs a run folder with checkpoints: choose a folder, or stop or skip on NaN and infinity."
            )

    /// Whether any batch norm of the network gets 1×1 maps.
    let normalisesSinglePixels size net =
        match Shapes.infer (Lowering.lower net) { C = 3; H = size; W = size } with
        | Error _ -> false
        | Ok(operations, _) ->
            operations
            |> List.exists (fun (op, shape, _) ->
                match op with
                | Op.Normalise _ -> shape.H * shape.W = 1
                | _ -> false)

    let requirePartition (plan: Plan) =
        if plan.Options.Accumulate < 1 then
            raise (
                TrainingException
                    $"A batch has at least 1 micro-batch, not {plan.Options.Accumulate}: correct --accumulate."
            )

        if plan.Options.Ranks.Size > 1 && plan.Options.Device <> Cpu then
            raise (
                TrainingException
                    $"{plan.Options.Ranks.Size} ranks train on CPUs only: choose device cpu, or a single process."
            )

    /// The running variance of batch norm divides by n − 1, so a single value gives NaN.
    let requireStatistics (plan: Plan) (recipe: Recipe) net =
        let images = (fst (StageImages.split recipe plan.Dataset)).Count
        let parts = plan.Options.BatchPartition.Parts
        let last = (images - 1) % recipe.Batch + 1
        let single = [ min recipe.Batch images; last ] |> List.exists (fun batch -> batch < 2 * parts)

        if single && normalisesSinglePixels plan.Dataset.Size net then
            let partitioned = if parts = 1 then "" else $", each in {parts} parts,"

            raise (
                TrainingException
                    $"{images} images in batches of {recipe.Batch}{partitioned} leave a batch of one image, and batch norm cannot compute statistics \
                      of the 1×1 maps that {net.Name} has for it. Choose another batch size, another number of images, or larger images."
            )

    /// Batch norm depends on all images of a batch, so a partition changes its results.
    let warnAboutStatistics (plan: Plan) net =
        let partition = plan.Options.BatchPartition

        if partition.Parts > 1 && not (Parameters.normsOf (Lowering.lower net)).IsEmpty then
            let parts = String.concat ", " partition.Description

            plan.Options.OnEvent(
                Warning
                    $"batch norm normalises each part of a partitioned batch ({parts}) by the part's own statistics, so the results differ from those of \
                      whole batches. Running statistics are averaged over the ranks, weighted by images. Networks without batch norm compute the \
                      same step with any partition."
            )

    /// The fused engine leaves some binary layers to torch operations, which are several times slower.
    let warnAboutSlowLayers (plan: Plan) execution net =
        let layers = Lowering.layers net

        let slow =
            layers
            |> List.choose (fun layer ->
                match LayerExecution.ofLayer layer with
                | TorchOperations reason -> Some $"{layer.Name} ({reason})"
                | OneKernel
                | ConvolutionKernel -> None)

        if execution.Engine = Fused && not slow.IsEmpty then
            let shown = slow |> List.truncate 3 |> String.concat ", "
            let more = if slow.Length > 3 then ", …" else ""

            plan.Options.OnEvent(
                Warning
                    $"torch operations, not the fused engine's kernels, run {slow.Length} of {layers.Length} binary layers, more slowly: {shown}{more}."
            )

    /// With other folders, ranks would resume from other checkpoints, or not at all.
    let requireSameFolder (plan: Plan) =
        let ranks = plan.Options.Ranks

        let folders =
            ranks.AllGather(
                match plan.Folder with
                | Some folder -> Path.GetFullPath folder.Path
                | None -> "none"
            )

        match Array.tryFindIndex ((<>) folders[0]) folders with
        | Some other ->
            raise (
                TrainingException
                    $"the run folder of {ranks.NameOf 0} is {folders[0]}, and that of {ranks.NameOf other} is {folders[other]}. Give all ranks the same \
                      --out, and start them in the same working folder."
            )
        | None -> ()

    /// The recipe and the network that the recipe trains. Throws TrainingException with all problems.
    let prepare (plan: Plan) recipe net =
        requireSameFolder plan
        TorchNative.Ensure()
        let recipe = require (Recipe.validate recipe)
        let net = Recipe.applyTo net recipe
        let fits = Validation.fits plan.Dataset.Size plan.Dataset.Size net |> Result.mapError (List.map string)
        let net = require fits

        if net.Classes <> plan.Dataset.Classes.Length then
            raise (
                TrainingException
                    $"{net.Name} has {net.Classes} classes, but the data set {plan.Dataset.Name} has {plan.Dataset.Classes.Length}."
            )

        requirePartition plan
        requireStatistics plan recipe net
        recipe, net

    /// The configuration of a run when it starts, with warnings about its options.
    let configuration (plan: Plan) (init: string option) net =
        let runOptions = plan.Options
        runOptions.Device.Require()

        let execution =
            runOptions.Execution.On(runOptions.Device.Type, torch.ScalarType.Float32)
            |> Result.mapError List.singleton
            |> require

        if execution <> runOptions.Execution then
            runOptions.OnEvent(
                Warning
                    $"the {Json.name execution.Engine} engine is used on {Json.name runOptions.Device}: the {Json.name runOptions.Execution.Engine} engine needs the CPU."
            )

        warnAboutStatistics plan net
        warnAboutSlowLayers plan execution net

        Configuration.describe plan.Configuration runOptions execution init net plan.Dataset

    let requireInit (init: string option) (recipe: Recipe) =
        if recipe.Freeze > 0 && init.IsNone then
            raise (
                TrainingException
                    $"The recipe freezes the network for {recipe.Freeze} epochs, which needs a checkpoint to start from: random weights cannot stay frozen."
            )

    let requireBinary (net: NetSpec) =
        if (Net.tryBinary net).IsNone then
            raise (TrainingException $"{net.Name} is a full-precision network without binary weights.")

    /// With different hold-outs, stage 2 would choose its best epoch on training images of stage 1.
    let requireSameHoldOut (first: Recipe) (second: Recipe) =
        if second.HeldOut > 0.0 && (first.HeldOut, first.Seed) <> (second.HeldOut, second.Seed) then
            raise (
                TrainingException
                    $"Stage 2 holds out {second.HeldOut} of the images with seed {second.Seed}, but stage 1 {first.HeldOut} with seed {first.Seed}: \
                      give both stages the same fraction and seed, so that stage 2 is not evaluated on training images of stage 1."
            )

    /// A checkpoint that is not the end of a stage 1 on the plan's images is no start for stage 2.
    let requireFinishedStage1 (plan: Plan) path (checkpoint: Checkpoint) =
        let state = checkpoint.State
        let images = plan.Dataset

        let problem =
            if state.Stage <> Names.binarise Activations then
                Some $"is of the stage '{state.Stage}', not of stage 1"
            elif state.TrainingCursor.Epoch < state.Recipe.Epochs then
                Some $"has {state.TrainingCursor.Epoch} of {state.Recipe.Epochs} epochs: finish that run"
            elif
                checkpoint.ImageTask <> ImageTask.Of images
                || state.Images |> Option.exists (fun used -> used.Train <> ImageSource.fingerprint images.Train)
            then
                Some $"was trained on other images than {images.Name} has"
            else
                None

        problem |> Option.iter (fun what -> raise (TrainingException $"{path} {what}."))
