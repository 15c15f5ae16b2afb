namespace NormFree.Cli

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
        match args.TryGet Options.pytorch, args.TryGet Options.safetensors with
        | Some path, None -> ForeignFile.OpenPyTorch path
        | None, Some path -> ForeignFile.OpenSafetensors path
        | _ -> raise (UsageException "import takes one of --pytorch FILE and --safetensors FILE.")

    let private dataset (args: Arguments) =
        match args.TryGet Options.dataset, args.TryGet Options.dataPath with
        | Some kind, path ->
            let options = Images.options args |> Images.withoutTraining |> Images.withoutTest
            Some(Images.load kind path { options with Size = args.TryGet Options.size })
        | None, Some _ -> raise (UsageException "--data needs --dataset KIND.")
        | None, None -> None

    /// The image side: as given, the data set's, or the one that the stem is made for.
    let private pixels (args: Arguments) (dataset: Dataset option) =
        match args.TryGet Options.size, dataset, args.TryGet Options.stem with
        | Some size, _, _ -> size
        | None, Some dataset, _ -> dataset.Size
        | None, None, Some CifarStem -> 32
        | None, None, _ -> 224

    let private classes (args: Arguments) (dataset: Dataset option) =
        match args.TryGet Options.classes, dataset with
        | Some count, Some dataset when count <> dataset.Classes.Length ->
            raise (UsageException $"--classes {count} does not fit {dataset.Name}, which has {dataset.Classes.Length}.")
        | _, Some dataset -> dataset.Classes.Length
        | Some count, None -> count
        | None, None -> Opt.defaultValue Options.classes

    let private spec (args: Arguments) pixels classes =
        let recipe =
            match args.Get Options.recipe with
            | PublishedRecipe -> Recipe.published
            | CorrectedRecipe -> Recipe.corrected

        let net =
            NetworkOptions.described args Options.arch pixels classes
            |> NetworkOptions.requireBinary [ "--recipe", args.Has Options.recipe ]
            |> Net.withBinarise (args.Get Options.binarise)

        match Validation.fits pixels pixels (Recipe.applyTo net recipe) with
        | Ok net -> net
        | Error errors -> raise (TrainingException(errors |> List.map string |> String.concat "\n"))

    let private task (dataset: Dataset option) net pixels =
        match dataset with
        | Some dataset -> ImageTask.Of dataset
        | None -> Import.task net pixels

    let private reject (report: ImportReport) strictness =
        let remedy =
            if strictness = Partial then
                "Not one tensor fits: check --arch."
            else
                "Check --arch, --norm, --binarise, --stem and --classes, or load what fits with --partial."

        raise (TrainingException $"{report.File} does not fit {report.Network}.\n{report}\n{remedy}")

    let private print (report: ImportReport) (out: string) =
        let renamed =
            if report.Renamed.IsEmpty then
                ""
            else
                $", {report.Renamed.Length} of them under other names"

        Output.line $"{report.Network}: {report.Loaded} tensors loaded from {report.File}{renamed}"

        if report.Counters > 0 then
            Output.line
                $"{report.Counters} batch counters are missing in the file, which is from before PyTorch 0.4.1: they start at 0"

        if not report.IsComplete then
            Output.line
                "accepted because of --partial; tensors of the network that do not fit keep their initial values:"

            report.Problems |> List.iter Output.line

        Output.line $"checkpoint: {out}"

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let strictness = if args.Has Options.partial then Strictness.Partial else Strict
        let out = args.Get Options.file
        let dataset = dataset args
        let pixels = pixels args dataset
        let net = spec args pixels (classes args dataset)
        use file = openFile args
        cancellation.ThrowIfCancellationRequested()

        match Import.checkpoint strictness net (task dataset net pixels) file with
        | Error report -> reject report strictness
        | Ok(checkpoint, report) ->
            use checkpoint = checkpoint
            Checkpoint.save out None checkpoint
            print report out
