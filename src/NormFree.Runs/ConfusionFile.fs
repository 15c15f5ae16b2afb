namespace NormFree.Runs

open System
open System.IO
open System.Text
open NormFree.Formats

/// <summary><c>confusion.json</c> in a run's folder.</summary>
[<RequireQualifiedAccess>]
module ConfusionFile =

    let private path (folder: RunFolder) = Path.Combine(folder.Path, "confusion.json")

    let private isBase64 (text: string) = Buffers.Text.Base64.IsValid(text.AsSpan())

    /// What a reader could stumble over, if anything.
    let private problem (confusion: Confusion) =
        let classes = confusion.Classes.Length
        let isPair truth guess = truth >= 0 && truth < classes && guess >= 0 && guess < classes

        if confusion.Classes |> List.exists (fun c -> c.Right < 0 || c.Images < c.Right) then
            Some "a class has more images recognised than it has images"
        elif confusion.Pairs |> List.exists (fun p -> not (isPair p.Truth p.Guess) || p.Count < 1) then
            Some $"a pair is not of its {classes} classes, or was never confused"
        elif confusion.Mistakes |> List.exists (fun m -> not (isPair m.Truth m.Guess)) then
            Some $"a mistake is not of its {classes} classes"
        elif confusion.Mistakes |> List.exists (fun m -> not (isBase64 m.Picture)) then
            Some "a picture is not base64"
        else
            None

    /// <summary>What the run's best network takes for what; nothing where the run has not ended, or was made before there was such a file.</summary>
    /// <remarks>Throws InvalidFileException where the file is damaged, IOException where it cannot be read.</remarks>
    let read (folder: RunFolder) : Confusion option =
        let path = path folder

        let refuse where what =
            raise (
                InvalidFileException(path, where, what, "Remove it, and run the training again to have it made anew")
            )

        if not (File.Exists path) then
            None
        else
            match Json.read<Confusion>(File.ReadAllText path) with
            | Error why -> refuse "text" $"it cannot be understood: {why}"
            | Ok confusion ->
                problem confusion |> Option.iter (refuse "content")
                Some confusion

    /// <summary>Writes it, whole or not at all.</summary>
    let write (folder: RunFolder) (confusion: Confusion) =
        let bytes = Encoding.UTF8.GetBytes(Json.write confusion)
        AtomicFile.Write(path folder, (fun stream -> stream.Write(ReadOnlySpan bytes)))

    /// Whether the file is of that checkpoint; a damaged file is not.
    let internal isOf fingerprint folder =
        try
            read folder |> Option.exists (fun confusion -> confusion.Checkpoint = fingerprint)
        with :? InvalidFileException ->
            false
