namespace NormFree.Runs

open System
open System.IO
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open NormFree.Formats

/// <summary>
/// A run's folder: <c>run.json</c> (its configuration), <c>log.jsonl</c> (one line per epoch), for each stage <c>stageN.last.safetensors</c>, the
/// checkpoints before it as <c>stageN.last-1.safetensors</c> and so on, and <c>stageN.best.safetensors</c>; <c>telemetry</c> and
/// <c>tensorboard</c> (samples of the layers), <c>confusion.json</c> (the confusion matrix of a finished run), and <c>run.lock</c> while a process
/// works on it.
/// </summary>
type RunFolder =
    { Path: string }

    member f.Last stage = Path.Combine(f.Path, $"stage{stage}.last.safetensors")

    /// <summary>The checkpoint <c>count</c> before the last one.</summary>
    member f.Before stage count =
        if count = 0 then
            f.Last stage
        else
            Path.Combine(f.Path, $"stage{stage}.last-{count}.safetensors")

    member f.Best stage = Path.Combine(f.Path, $"stage{stage}.best.safetensors")

    /// <summary>The folder of the telemetry's Parquet files. It is absent if nothing was sampled.</summary>
    member f.Telemetry = Path.Combine(f.Path, "telemetry")

    /// <summary>The folder of TensorBoard's event files, with one folder per stage.</summary>
    member f.TensorBoard = Path.Combine(f.Path, "tensorboard")

/// <summary>The content of <c>run.json</c>.</summary>
type RunDescription =
    {
        Label: string
        /// The command line that started the run; empty for a script's run.
        Arguments: string list
        /// None if an earlier version of NormFree wrote the file: it holds rows of text then.
        Configuration: RunConfiguration option
        /// Where the run was when the file was written; None in files of earlier versions.
        Places: RunPlaces option
        Finished: bool
    }

[<RequireQualifiedAccess>]
module RunFolder =

    let private description folder = Path.Combine(folder.Path, "run.json")
    let private log folder = Path.Combine(folder.Path, "log.jsonl")

    let private writeText path (text: string) =
        AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes text))))

    /// <summary>The folder at a path, created if it does not exist. Throws TrainingException if it cannot be created.</summary>
    let at path =
        let refuse why = raise (TrainingException $"{path}: {why}. Choose another folder for the run.")

        if File.Exists path then
            refuse "it is a file, but a run needs a folder"

        try
            Directory.CreateDirectory path |> ignore
            { Path = path }
        with
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            refuse $"the folder cannot be created: {error.Message.TrimEnd('.')}"

    /// <summary>Whether the folder contains a run, finished or not.</summary>
    let holdsRun folder = File.Exists(description folder)

    /// <summary>Writes the run's description into the folder, which is created if it does not exist.</summary>
    let describe folder (what: RunDescription) = writeText (description (at folder.Path)) (Json.write what)

    /// <summary>Writes the log: one line per epoch.</summary>
    let writeLog folder (history: EpochRecord list) =
        history
        |> List.map (fun record -> Json.write record + "\n")
        |> String.concat ""
        |> writeText (log folder)

    /// <summary>The existing checkpoints of a stage, newest first: the number of checkpoints after it, and the file.</summary>
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

    /// <summary>Applies a function to a stage's checkpoints, newest first, until one can be read and gives a value.</summary>
    let tryNewest folder stage (tell: string -> 'a option) : 'a option =
        checkpoints folder stage
        |> List.tryPick (fun (_, path) ->
            try
                tell path
            with
            | :? InvalidFileException
            | :? IOException -> None)

    /// <summary>Renames a stage's checkpoints to make room for a new one; the newest <c>keep</c> − 1 of them are kept.</summary>
    let rotate folder stage keep =
        for count, path in checkpoints folder stage do
            if count >= keep then
                File.Delete path

        let isFree count = not (File.Exists(folder.Before stage count))
        let hole = Seq.initInfinite id |> Seq.find (fun count -> isFree count || count = keep - 1)

        for count in hole .. -1 .. 1 do
            File.Move(folder.Before stage (count - 1), folder.Before stage count, true)

    let private unreadable path place why =
        InvalidFileException(path, place, $"it cannot be parsed: {why}", "Restore the file or start a new run")

    let private read<'T> path (text: string) place : 'T =
        match text |> OldNames.renewFields path |> Json.read<'T> with
        | Ok value -> value
        | Error why -> raise (unreadable path place why)

    /// A longer file is not ours, or damaged.
    let private maxDescription, private maxLog = 16L <<< 20, 1L <<< 30

    /// Pipes and devices are rejected, because reading them may never end.
    let private readText path maxBytes = Encoding.UTF8.GetString(PlainFile.ReadAllBytes(path, maxBytes))

    /// Earlier versions wrote the configuration as pairs of texts. They are taken out of the JSON.
    let private takeRows path (root: JsonObject) : (string * string) list =
        match root["Configuration"] with
        | :? JsonArray as pairs ->
            let rows = Json.read<(string * string) list>(pairs.ToJsonString())
            root["Configuration"] <- null
            OldNames.warn $"{path} is of an earlier version of NormFree. The next version will not read it."

            match rows with
            | Ok rows -> rows
            | Error why -> raise (unreadable path "text" why)
        | _ -> []

    /// The description, and the rows of its configuration.
    let private load folder : RunDescription * (string * string) list =
        let path = description folder

        if not (File.Exists path) then
            raise (
                TrainingException
                    $"{folder.Path} contains no run: it has no run.json. Give the folder that was passed as --out."
            )

        let text =
            match readText path maxDescription |> OldNames.renewFields path |> OldNames.addFields with
            | Ok text -> text
            | Error why -> raise (unreadable path "text" why)

        try
            match JsonText.parse text with
            | :? JsonObject as root ->
                let oldRows = takeRows path root
                let what: RunDescription = read path (root.ToJsonString()) "text"
                what, what.Configuration |> Option.map RunConfiguration.rows |> Option.defaultValue oldRows
            | _ -> raise (unreadable path "text" "it is not a JSON object")
        with :? JsonException as error ->
            raise (unreadable path "text" error.Message)

    /// <summary>The run's description. Throws TrainingException if there is no run, InvalidFileException if its description is damaged.</summary>
    let readDescription folder = fst (load folder)

    let private logLines path =
        if File.Exists path then
            (readText path maxLog).Split('\n', StringSplitOptions.RemoveEmptyEntries)
        else
            [||]

    /// <summary>The run as its folder describes it.</summary>
    let readRun folder : RunLog =
        let what, rows = load folder
        let path = log folder

        { Name = DirectoryInfo(folder.Path).Name
          Label = what.Label
          Arguments = what.Arguments
          Configuration = rows
          Epochs = [ for i, line in Array.indexed (logLines path) -> read<EpochRecord> path line $"line {i + 1}" ]
          Finished = what.Finished }

    /// <summary>Writes the log again if it has fewer epochs than this: a run that was killed may lack the last.</summary>
    let repairLog folder (history: EpochRecord list) =
        if (logLines (log folder)).Length < history.Length then
            writeLog folder history
