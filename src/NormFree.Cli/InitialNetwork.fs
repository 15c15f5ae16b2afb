namespace NormFree.Cli

open System
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Inference.Files
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec

/// <summary>The network that <c>--init</c> names.</summary>
[<RequireQualifiedAccess>]
module internal InitialNetwork =

    /// <summary>The text of <c>--init</c>, unless it asks for random weights.</summary>
    let given (args: Arguments) : string option = args.TryGet Options.Run.init |> Option.filter ((<>) "none")

    /// <summary>The file that the text of <c>--init</c> names.</summary>
    let path (text: string) = ZooFile.checkpoint text

    let private isCheckpoint (path: string) =
        try
            use file = SafetensorsFile.Open path
            file.Metadata.ContainsKey "state"
        with
        | :? InvalidFileException
        | :? IOException
        | :? UnauthorizedAccessException -> false

    /// Checkpoints that a packed file may come from: of its name, or the best ones of its folder.
    let private besidePacked (path: string) =
        let folder = Path.GetDirectoryName(Path.GetFullPath path) |> string
        let name = string (Path.GetFileName path)

        [ name.Replace(".packed", ""); name.Replace(".packed", ".checkpoint"); "stage2.best.safetensors" ]
        |> List.filter ((<>) name)
        |> List.map (fun name -> Path.Combine(folder, name))
        |> List.tryFind (fun path -> File.Exists path && isCheckpoint path)

    let private rejectPacked (path: string) =
        let remedy =
            match besidePacked path with
            | Some checkpoint -> $"Start from its checkpoint: --init {Quoted.Argument checkpoint}"
            | None ->
                "Start from the checkpoint that it was exported from, such as runs/NAME/stage2.best.safetensors: --init CHECKPOINT"

        raise (
            InvalidFileException(
                path,
                "metadata 'format'",
                "it is a packed file, whose weights are single bits that cannot be trained",
                remedy
            )
        )

    /// <summary>Rejects files that are no checkpoints, with what to give instead.</summary>
    /// <remarks>A file that does not exist is left to the code that opens it. Throws InvalidFileException.</remarks>
    let require (path: string) =
        NetworkFile.require path

        if File.Exists path && PackedFile.IsPacked path then
            rejectPacked path

    /// <summary>The network of a checkpoint; None if the file does not exist, which later code reports.</summary>
    let trySpec (text: string) : NetSpec option =
        let path = path text

        if File.Exists path then
            require path
            Some(Checkpoint.readSpec path)
        else
            None

    /// Images of a size that fits need no steps; for all others the network's steps are used.
    let private steps (task: ImageTask) (own: Augment list) = if own.IsEmpty then [] else task.PreprocessingOfAnySize

    /// <summary>The data set's settings with the size, the normalisation and the preprocessing of the initial network where none is given, and
    /// a note for the user. <c>own</c> are the data set's own steps for testing.</summary>
    let preprocessing (text: string) (own: Augment list) (dataset: DatasetConfiguration) =
        let task = Checkpoint.readTask (path text)
        let sameSize = dataset.Size |> Option.forall ((=) task.Size)

        let taken =
            [ if dataset.Size.IsNone then
                  $"{task.Size}×{task.Size} pixels"
              if dataset.Normalisation.IsNone then
                  "normalisation"
              if dataset.Preprocessing.IsNone && sameSize then
                  "resize and crop" ]

        { dataset with
            Size = dataset.Size |> Option.orElse (Some task.Size)
            Normalisation = dataset.Normalisation |> Option.orElse (Some task.Normalisation)
            Preprocessing =
                if dataset.Preprocessing.IsSome || not sameSize then
                    dataset.Preprocessing
                else
                    Some(steps task own) },
        if taken.IsEmpty then
            None
        else
            let what = String.concat ", " taken
            Some $"Preprocessing of {text}: {what} (--size, --normalisation and --resize change it)."
