namespace NormFree.Runs

open System
open System.IO
open System.Text
open System.Text.RegularExpressions
open NormFree.Formats

/// <summary>
/// A run's folder: <c>run.json</c> (what was asked for), <c>log.jsonl</c> (a line an epoch), for each stage
/// <c>stageN.last.safetensors</c>, those before it as <c>stageN.last-1.safetensors</c> and so on, and <c>stageN.best.safetensors</c>;
/// <c>telemetry</c> and <c>tensorboard</c> (what was seen inside the layers), <c>confusion.json</c> once the run has ended (what its best network
/// takes for what), and <c>run.lock</c> while a process works on it.
/// </summary>
type RunFolder =
    { Path: string }

    member f.Last stage = Path.Combine(f.Path, $"stage{stage}.last.safetensors")

    /// <summary>The checkpoint that many before the last.</summary>
    member f.Before stage count =
        if count = 0 then
            f.Last stage
        else
            Path.Combine(f.Path, $"stage{stage}.last-{count}.safetensors")

    member f.Best stage = Path.Combine(f.Path, $"stage{stage}.best.safetensors")

    /// <summary>The folder of telemetry's columnar files; there is none where nothing was seen.</summary>
    member f.Telemetry = Path.Combine(f.Path, "telemetry")

    /// <summary>The folder of TensorBoard's event files, with a folder for each stage.</summary>
    member f.TensorBoard = Path.Combine(f.Path, "tensorboard")

/// <summary>The content of <c>run.json</c>.</summary>
type RunDescription =
    {
        Label: string
        /// The command line that started the run; empty for a script's run.
        Arguments: string list
        Configuration: (string * string) list
        Finished: bool
    }

[<RequireQualifiedAccess>]
module RunFolder =

    let private description folder = Path.Combine(folder.Path, "run.json")
    let private log folder = Path.Combine(folder.Path, "log.jsonl")

    let private writeText path (text: string) =
        AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes text))))

    /// <summary>The folder of that path, made if it is not there. Throws TrainingException where it cannot be made.</summary>
    let at path =
        let refuse why = raise (TrainingException $"{path}: {why}. Choose another folder for the run.")

        if File.Exists path then
            refuse "it is a file, and a run needs a folder"

        try
            Directory.CreateDirectory path |> ignore
            { Path = path }
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> refuse $"the folder cannot be made: {error.Message.TrimEnd('.')}"

    /// <summary>Whether the folder holds a run, finished or not.</summary>
    let holdsRun folder = File.Exists(description folder)

    /// <summary>Writes what was asked for, into the folder, which is made if it is not there.</summary>
    let describe folder (what: RunDescription) = writeText (description (at folder.Path)) (Json.write what)

    /// <summary>Writes the log anew: a line an epoch.</summary>
    let writeLog folder (history: EpochRecord list) =
        history
        |> List.map (fun record -> Json.write record + "\n")
        |> String.concat ""
        |> writeText (log folder)

    /// <summary>The last checkpoints of a stage that are there, newest first: how many before the last, and the file.</summary>
    let checkpoints folder stage =
        let number (path: string) =
            let found = Regex.Match(path, @"\.last(-(\d{1,6}))?\.safetensors$")

            if not found.Success then None
            elif found.Groups[2].Success then Some(int found.Groups[2].Value, path)
            else Some(0, path)

        if Directory.Exists folder.Path then
            Directory.GetFiles(folder.Path, $"stage{stage}.last*.safetensors")
            |> Array.choose number
            |> Array.sortBy fst
            |> Array.toList
        else
            []

    /// <summary>What the newest of a stage's last checkpoints tells that can be read and tells anything.</summary>
    let tryNewest folder stage (tell: string -> 'a option) : 'a option =
        checkpoints folder stage
        |> List.tryPick (fun (_, path) ->
            try
                tell path
            with
            | :? InvalidFileException
            | :? IOException -> None)

    /// <summary>Makes room for a new last checkpoint beside those before it, of which <c>keep</c> − 1 stay.</summary>
    let rotate folder stage keep =
        for count, path in checkpoints folder stage do
            if count >= keep then
                File.Delete path

        let isFree count = not (File.Exists(folder.Before stage count))
        let hole = Seq.initInfinite id |> Seq.find (fun count -> isFree count || count = keep - 1)

        for count in hole .. -1 .. 1 do
            File.Move(folder.Before stage (count - 1), folder.Before stage count, true)

    let private read<'T> path (text: string) place : 'T =
        match text |> OldNames.renewFields path |> Json.read<'T> with
        | Ok value -> value
        | Error why ->
            raise (
                InvalidFileException(
                    path,
                    place,
                    $"it cannot be understood: {why}",
                    "Restore the file or start the run anew"
                )
            )

    /// <summary>What was asked for. Throws TrainingException where there is no run, InvalidFileException where its description is damaged.</summary>
    let readDescription folder =
        let path = description folder

        if not (File.Exists path) then
            raise (
                TrainingException
                    $"{folder.Path} holds no run: it has no run.json. Name the folder that was given as --out."
            )

        read<RunDescription> path (File.ReadAllText path) "text"

    /// <summary>The run as its folder tells it.</summary>
    let readRun folder : RunLog =
        let what = readDescription folder
        let path = log folder
        let lines = if File.Exists path then File.ReadAllLines path else [||]

        { Name = DirectoryInfo(folder.Path).Name
          Label = what.Label
          Arguments = what.Arguments
          Configuration = what.Configuration
          Epochs = [ for i, line in Array.indexed lines -> read<EpochRecord> path line $"line {i + 1}" ]
          Finished = what.Finished }

    /// <summary>Writes the log anew where it has fewer epochs than this: a run that was killed may lack its last.</summary>
    let repairLog folder (history: EpochRecord list) =
        let path = log folder
        let lines = if File.Exists path then (File.ReadAllLines path).Length else 0

        if lines < history.Length then
            writeLog folder history
