namespace NormFree.Cli

open System
open Argu
open NormFree.Data
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

/// <summary><c>normfree import</c>.</summary>
[<RequireQualifiedAccess>]
module ImportCommand =

    let private openFile (args: ParseResults<ImportArgs>) =
        match args.TryGetResult Pytorch, args.TryGetResult Safetensors with
        | Some path, None -> ForeignFile.OpenPyTorch path
        | None, Some path -> ForeignFile.OpenSafetensors path
        | _ -> raise (UsageException "import takes one of --pytorch FILE and --safetensors FILE.")

    let private dataset (args: ParseResults<ImportArgs>) =
        let size = args.TryGetResult ImportArgs.Size |> Option.map (Choices.side "--size")

        match args.TryGetResult ImportArgs.Dataset, args.TryGetResult ImportArgs.Data with
        | Some kind, path -> Some(Images.load (Choices.dataset kind) path { Catalogue.defaults with Size = size })
        | None, Some _ -> raise (UsageException "--data needs --dataset, which says what it is.")
        | None, None -> None

    /// Side of the images: as given, the data set's, or what the stem is for.
    let private pixels (args: ParseResults<ImportArgs>) (dataset: Dataset option) =
        match args.TryGetResult ImportArgs.Size, dataset, args.TryGetResult ImportArgs.Stem with
        | Some size, _, _ -> Choices.side "--size" size
        | None, Some dataset, _ -> dataset.Size
        | None, None, Some "cifar" -> 32
        | None, None, _ -> 224

    let private classes (args: ParseResults<ImportArgs>) (dataset: Dataset option) =
        let given = args.TryGetResult ImportArgs.Classes |> Option.map (Choices.within 2 10_000_000 "--classes")

        match given, dataset with
        | Some count, Some dataset when count <> dataset.Classes.Length ->
            raise (UsageException $"--classes {count} does not fit {dataset.Name}, which has {dataset.Classes.Length}.")
        | _, Some dataset -> dataset.Classes.Length
        | Some count, None -> count
        | None, None -> 1000

    let private spec (args: ParseResults<ImportArgs>) pixels classes =
        let size =
            { Width = Choices.factor "--width" (args.GetResult(ImportArgs.Width, 1.0))
              Depth = Choices.factor "--depth" (args.GetResult(ImportArgs.Depth, 1.0)) }

        let table = Choices.architecture (args.GetResult ImportArgs.Arch)
        let norm = Choices.norm (args.GetResult(ImportArgs.Norm, "bn-free"))
        let binarise = args.GetResult(ImportArgs.Binarise, Names.binarise ActivationsAndWeights)
        let recipe = Choices.recipe (args.GetResult(ImportArgs.Recipe, "published"))

        let net =
            table size (TrainCommand.stem (args.TryGetResult ImportArgs.Stem) pixels)
            |> Net.withClasses classes
            |> TrainCommand.requireBinary
                [ "--norm", args.Contains ImportArgs.Norm
                  "--binarise", args.Contains ImportArgs.Binarise
                  "--recipe", args.Contains ImportArgs.Recipe ]
            |> Net.withNorm norm
            |> Net.withBinarise (Choices.binarise binarise)

        match Validation.fits pixels pixels (Recipe.applyTo net recipe) with
        | Ok net -> net
        | Error errors -> raise (TrainingException(errors |> List.map string |> String.concat "\n"))

    let private task (dataset: Dataset option) net pixels =
        match dataset with
        | Some dataset -> ImageTask.Of dataset
        | None -> Import.task net pixels

    let private refuse (report: ImportReport) strictness =
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

        Console.WriteLine $"{report.Network}: {report.Loaded} tensors loaded from {report.File}{renamed}"

        if report.Counters > 0 then
            Console.WriteLine
                $"{report.Counters} counters of batches are not in the file, which is from before PyTorch 0.4.1: they begin at 0"

        if not report.IsComplete then
            Console.WriteLine
                "accepted, as --partial says; tensors of the network that do not fit keep their first values:"

            report.Problems |> List.iter Console.WriteLine

        Console.WriteLine $"checkpoint: {out}"

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<ImportArgs>) =
        let strictness = if args.Contains ImportArgs.Partial then Strictness.Partial else Strict
        let out = args.GetResult ImportArgs.Out
        let dataset = dataset args
        let pixels = pixels args dataset
        let net = spec args pixels (classes args dataset)
        use file = openFile args

        match Import.checkpoint strictness net (task dataset net pixels) file with
        | Error report -> refuse report strictness
        | Ok(checkpoint, report) ->
            use checkpoint = checkpoint
            Checkpoint.save out None checkpoint
            print report out
