namespace NormFree.Cli

open System
open System.Threading
open NormFree.Data
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks

/// <summary><c>normfree import</c>.</summary>
[<RequireQualifiedAccess>]
module internal ImportCommand =

    let private openFile (args: Arguments) =
        match
            args.TryGet Options.Files.pytorch, args.TryGet Options.Files.safetensors, args.TryGet Options.Files.weights
        with
        | Some path, None, weights -> ForeignFile.OpenPyTorchWeights(path, weights)
        | None, Some _, Some _ ->
            raise (UsageException "--weights is for --pytorch: a safetensors file holds one set of tensors.")
        | None, Some path, None -> ForeignFile.OpenSafetensors path
        | _ -> raise (UsageException "import takes one of --pytorch FILE and --safetensors FILE.")

    let private dataset (args: Arguments) =
        match args.TryGet Options.Data.dataset, args.TryGet Options.Data.dataPath with
        | Some kind, path ->
            let options = Images.options args |> Images.withoutTraining |> Images.withoutTest
            Some(Images.load kind path { options with Size = args.TryGet Options.Data.size })
        | None, Some _ -> raise (UsageException "--data needs --dataset KIND.")
        | None, None -> None

    /// The image side: as given, the data set's, or the one that the stem is made for.
    let private pixels (args: Arguments) (dataset: Dataset option) =
        match args.TryGet Options.Data.size, dataset, args.TryGet Options.Network.stem with
        | Some size, _, _ -> size
        | None, Some dataset, _ -> dataset.Size
        | None, None, Some CifarStem -> 32
        | None, None, _ -> 224

    let private classes (args: Arguments) (dataset: Dataset option) =
        match args.TryGet Options.Network.classes, dataset with
        | Some count, Some dataset when count <> dataset.Classes.Length ->
            raise (UsageException $"--classes {count} does not fit {dataset.Name}, which has {dataset.Classes.Length}.")
        | _, Some dataset -> dataset.Classes.Length
        | Some count, None -> count
        | None, None -> Opt.defaultValue Options.Network.classes

    let private spec (args: Arguments) pixels classes =
        // A file's weights are what it was trained with.
        let recipe =
            let recipe = NetworkOptions.recipe (args.Get Options.Recipe.recipe)
            { recipe with Deviations = { recipe.Deviations with ShortcutWeights = Rule.Published } }

        let net =
            NetworkOptions.described args Options.Network.arch pixels classes
            |> NetworkOptions.requireBinary [ "--recipe", args.Has Options.Recipe.recipe ]
            |> Net.withBinarise (args.Get Options.Network.binarise)

        match Validation.fits pixels pixels (Recipe.applyTo net recipe) with
        | Ok net -> net
        | Error errors -> raise (TrainingException(errors |> List.map string |> String.concat "\n"))

    /// The data set's task or the architecture's, with the preprocessing that the options give.
    let private task (args: Arguments) (dataset: Dataset option) net pixels : ImageTask =
        let task =
            match dataset with
            | Some dataset -> ImageTask.Of dataset
            | None -> Import.task net pixels

        let preprocessing =
            match args.TryGet Options.Data.resize with
            | Some side when side < pixels ->
                raise (UsageException $"--resize {side} is below the image side {pixels}: give at least that.")
            | Some side -> [ ResizeShort side; CentreCrop pixels ]
            | None -> task.Preprocessing

        { task with
            Preprocessing = preprocessing
            Normalisation = args.TryGet Options.Data.normalisation |> Option.defaultValue task.Normalisation }

    /// Whether only the classifier does not fit.
    let private onlyClassifier (report: ImportReport) =
        report.Missing.IsEmpty
        && report.Unexpected.IsEmpty
        && not report.Misshapen.IsEmpty
        && report.Misshapen
           |> List.forall (fun misfit -> misfit.Key.StartsWith("fc.", StringComparison.Ordinal))

    let private reject (args: Arguments) (report: ImportReport) =
        let remedy =
            if not report.NonFinite.IsEmpty then
                "Give an earlier checkpoint, or import the values with --allow-nonfinite."
            elif args.Has Options.Files.partial then
                "Not one tensor fits: check --arch."
            elif onlyClassifier report then
                "The file has another number of classes: give it with --classes, and fine-tune with train --init, which starts a new classifier. \
                 Or load all but the classifier with --partial."
            else
                "Check --arch, --norm, --binarise, --stem and --classes, or load what fits with --partial."

        let what =
            if report.NonFinite.IsEmpty then
                $"does not fit {report.Network}"
            else
                "has weights that are not finite"

        raise (TrainingException $"{report.File} {what}.\n{report}\n{remedy}")

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let rules =
            { Strictness = if args.Has Options.Files.partial then Strictness.Partial else Strict
              AllowNonFinite = args.Has Options.Files.allowNonFinite }

        let out = args.Get Options.Files.file
        let dataset = dataset args
        let pixels = pixels args dataset
        let net = spec args pixels (classes args dataset)
        let task = task args dataset net pixels
        use file = openFile args
        cancellation.ThrowIfCancellationRequested()

        match Import.checkpoint rules net task file with
        | Error report -> reject args report
        | Ok(checkpoint, report) ->
            use checkpoint = checkpoint
            Checkpoint.save out None checkpoint
            ImportText.loaded report |> List.iter Output.prose
            ImportText.assumptions args net task |> List.iter Output.prose
            Output.line $"checkpoint: {out}"
