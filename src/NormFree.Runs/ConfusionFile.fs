namespace NormFree.Runs

open System
open System.IO
open System.Text
open NormFree.Formats

/// <summary>Reads and writes <c>confusion.json</c> in a run folder.</summary>
[<RequireQualifiedAccess>]
module ConfusionFile =

    let private path (folder: RunFolder) = Path.Combine(folder.Path, "confusion.json")

    let private isBase64 (text: string) = Buffers.Text.Base64.IsValid(text.AsSpan())

    /// Whether a list of JSON has a null, which F# does not expect there.
    let private hasNull (items: 'item list) = items |> List.exists (fun item -> isNull (box item))

    /// The first inconsistency, if any.
    let private problem (confusion: Confusion) =
        let classes = confusion.Classes.Length
        let isPair truth guess = truth >= 0 && truth < classes && guess >= 0 && guess < classes

        if hasNull confusion.Classes || hasNull confusion.Pairs || hasNull confusion.Mistakes then
            Some "a list has a null in place of a value"
        elif confusion.Classes |> List.exists (fun c -> c.Right < 0 || c.Images < c.Right) then
            Some "a class has more correct predictions than images"
        elif confusion.Pairs |> List.exists (fun p -> not (isPair p.Truth p.Guess) || p.Count < 1) then
            Some $"a pair is not of its {classes} classes, or its count is not positive"
        elif confusion.Mistakes |> List.exists (fun m -> not (isPair m.Truth m.Guess)) then
            Some $"a mistake is not of its {classes} classes"
        elif confusion.Mistakes |> List.exists (fun m -> not (isBase64 m.Picture)) then
            Some "a picture is not base64"
        else
            None

    /// A longer file is damaged.
    let private maxBytes = 1L <<< 30

    /// <summary>The confusion matrix of the run's best network; None before the run has finished.</summary>
    /// <remarks>Throws InvalidFileException if the file is damaged, IOException if it cannot be read.</remarks>
    let read (folder: RunFolder) : Confusion option =
        let path = path folder

        let refuse where what =
            raise (
                InvalidFileException(path, where, what, "Remove it and resume the finished run, which writes it again")
            )

        if not (File.Exists path) then
            None
        else
            match Json.read<Confusion>(Encoding.UTF8.GetString(PlainFile.ReadAllBytes(path, maxBytes))) with
            | Error why -> refuse "text" $"it cannot be parsed: {why}"
            | Ok confusion ->
                problem confusion |> Option.iter (refuse "content")
                Some confusion

    /// <summary>Writes the file atomically.</summary>
    let write (folder: RunFolder) (confusion: Confusion) =
        let bytes = Encoding.UTF8.GetBytes(Json.write confusion)
        AtomicFile.Write(path folder, (fun stream -> stream.Write(ReadOnlySpan bytes)))

    /// Whether the file is of that checkpoint; a damaged file is not.
    let internal isOf fingerprint folder =
        try
            read folder |> Option.exists (fun confusion -> confusion.Checkpoint = fingerprint)
        with :? InvalidFileException ->
            false
