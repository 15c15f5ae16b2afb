namespace NormFree.Training

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

    /// A damaged one is as good as none.
    let private isOf fingerprint folder =
        try
            read folder |> Option.exists (fun confusion -> confusion.Checkpoint = fingerprint)
        with :? InvalidFileException ->
            false

    /// <summary>Makes the file from the best network of a stage, unless it is there already.</summary>
    /// <remarks>It is for people, and the training is done: where it cannot be made, whoever watches is warned.</remarks>
    let internal keep (around: Surroundings) (placed: Network -> Network) batch source (folder: RunFolder) stage =
        let make fingerprint =
            let loaded = Checkpoint.load TorchSharp.torch.ScalarType.Float32 (folder.Best stage)
            use checkpoint = { loaded with Network = placed loaded.Network }
            ConfusionMatrix.measure around batch fingerprint checkpoint source |> write folder

        try
            let fingerprint = Fingerprint.ofCheckpoint (folder.Best stage)

            if not (isOf fingerprint folder) then
                make fingerprint
        with
        | :? InvalidFileException
        | :? NormFree.Data.DataException
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            around.Watch(
                Warning
                    $"{error.Message.TrimEnd('.')}: what the network takes for what is not in the run's folder, and reports will lack it."
            )
