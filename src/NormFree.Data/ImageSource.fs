namespace NormFree.Data

open System
open System.IO
open System.Security.Cryptography
open System.Text
open System.Threading

/// <summary>Labelled images that are read one at a time, in any order, from any thread.</summary>
type ImageSource =
    {
        Count: int
        /// The class of image i, from 0; cheap.
        Label: int -> int
        /// What a message calls image i: a file's name, or <c>data_batch_1.bin record 17</c>.
        Name: int -> string
        /// Reads and decodes image i. Expected failures (an unreadable file) are Error; safe from any thread.
        Load: int -> Result<Image, string>
    }

/// <summary>Parts of sources. All of them are deterministic, and none reads an image.</summary>
module ImageSource =
    /// Images that are in memory already, with their labels.
    let ofImages name (images: (Image * int)[]) =
        { Count = images.Length
          Label = fun i -> snd images[i]
          Name = fun i -> $"{name} image {i}"
          Load = fun i -> Ok(fst images[i]) }

    /// The images at these places, in this order.
    let subset (indices: int[]) source =
        { Count = indices.Length
          Label = fun i -> source.Label indices[i]
          Name = fun i -> source.Name indices[i]
          Load = fun i -> source.Load indices[i] }

    /// The places of each class, in random order: one array a class that occurs.
    let private byClass purpose (seed: int64) source =
        Array.init source.Count id
        |> Array.groupBy source.Label
        |> Array.sortBy fst
        |> Array.map (fun (label, indices) ->
            RandomStream.For(purpose, seed, int64 label).Shuffle indices
            indices)

    /// <summary>At most <c>n</c> images, as equally many of each class as there are.</summary>
    /// <remarks>
    /// Sources are often sorted by class, so the first n images would be of few classes. Classes are dealt one image a
    /// round; a class that runs out leaves its share to the others. The result keeps the order of the source.
    /// </remarks>
    let limit n seed source =
        if n >= source.Count then
            source
        else
            let classes = byClass Purpose.Choosing seed source
            let rounds = classes |> Seq.map Array.length |> Seq.fold max 0

            let dealt =
                seq {
                    for round in 0 .. rounds - 1 do
                        for members in classes do
                            if round < members.Length then
                                members[round]
                }

            subset (dealt |> Seq.truncate (max 0 n) |> Array.ofSeq |> Array.sort) source

    /// <summary>Splits into (kept, held out); <c>fraction</c> (0 to 1) of each class, rounded, is held out.</summary>
    let split (fraction: float) seed source =
        let halves =
            byClass Purpose.HoldingOut seed source
            |> Array.map (fun indices -> Array.splitAt (int (round (fraction * float indices.Length))) indices)

        let part choose = subset (Array.sort (Array.collect choose halves)) source
        part snd, part fst

    /// <summary>The same images, each decoded once: those that were read are kept, until they take so many bytes.</summary>
    /// <remarks>The others are decoded whenever they are asked for, and so are those that cannot be read. Safe from any thread; who shares the source
    /// shares what it keeps.</remarks>
    let remembering (bytes: int64) source =
        let kept: Image option[] = Array.create source.Count None
        let room = [| bytes |]

        let keep i (image: Image) =
            let size = int64 image.Pixels.Length

            if
                Interlocked.Add(&room[0], -size) < 0L
                || (Interlocked.CompareExchange(&kept[i], Some image, None)).IsSome
            then
                Interlocked.Add(&room[0], size) |> ignore

            image

        { source with
            Load =
                fun i ->
                    match kept[i] with
                    | Some image -> Ok image
                    | None -> source.Load i |> Result.map (keep i) }

    /// Images whose pixels a fingerprint looks at.
    let private looked = 16

    /// <summary>A text that tells one source from another: of its labels, its images' names (without folders, which may move), and the pixels of
    /// a few images spread over it.</summary>
    /// <remarks>An image changed in its place may go unnoticed; images added, removed, renamed or labelled otherwise do not.</remarks>
    let fingerprint source =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        let add (text: string) = hash.AppendData(ReadOnlySpan(Encoding.UTF8.GetBytes(text + "\n")))

        for i in 0 .. source.Count - 1 do
            add $"{source.Label i} {Path.GetFileName(source.Name i)}"

        for place in 0 .. min looked source.Count - 1 do
            match source.Load(int (int64 place * int64 source.Count / int64 (min looked source.Count))) with
            | Ok image ->
                add $"{image.Width}×{image.Height}"
                hash.AppendData image.Pixels
            | Error _ -> add "unreadable"

        Convert.ToHexStringLower(hash.GetHashAndReset())[..31]
