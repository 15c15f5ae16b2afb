namespace NormFree.Data

open System
open System.IO
open System.Security.Cryptography
open System.Text
open System.Threading

/// <summary>Labelled images with random access. Thread-safe.</summary>
type ImageSource =
    {
        Count: int
        /// The class of image i, from 0. Does not read the image.
        Label: int -> int
        /// The name of image i in messages: a file's name, or <c>data_batch_1.bin record 17</c>.
        Name: int -> string
        /// Reads and decodes image i. Unreadable images are Error.
        Load: int -> Result<Image, string>
    }

/// <summary>Subsets, splits, caches and fingerprints of sources. All of them are deterministic.</summary>
module ImageSource =
    /// A source of images in memory.
    let ofImages name (images: (Image * int)[]) =
        { Count = images.Length
          Label = fun i -> snd images[i]
          Name = fun i -> $"{name} image {i}"
          Load = fun i -> Ok(fst images[i]) }

    /// The indices of n evenly spaced images, or of all if there are fewer.
    let spread n source =
        let count = min n source.Count
        Array.init count (fun i -> int (int64 i * int64 source.Count / int64 count))

    /// The images at these indices, in this order.
    let subset (indices: int[]) source =
        { Count = indices.Length
          Label = fun i -> source.Label indices[i]
          Name = fun i -> source.Name indices[i]
          Load = fun i -> source.Load indices[i] }

    /// The indices of each class that occurs, shuffled.
    let private byClass purpose (seed: int64) source =
        Array.init source.Count id
        |> Array.groupBy source.Label
        |> Array.sortBy fst
        |> Array.map (fun (label, indices) ->
            RandomStream.For(purpose, seed, int64 label).Shuffle indices
            indices)

    /// <summary>At most <c>n</c> images, balanced over the classes.</summary>
    /// <remarks>
    /// Sources are often sorted by class, so the first n images would cover few classes. Each round takes one image of each class that has
    /// images left. The result keeps the source's order.
    /// </remarks>
    let limit n seed source =
        if n >= source.Count then
            source
        else
            let classes = byClass Purpose.Choosing seed source
            let rounds = classes |> Seq.map Array.length |> Seq.fold max 0

            let chosen =
                seq {
                    for round in 0 .. rounds - 1 do
                        for members in classes do
                            if round < members.Length then
                                members[round]
                }

            subset (chosen |> Seq.truncate (max 0 n) |> Array.ofSeq |> Array.sort) source

    /// <summary>Splits into (kept, held out). The held-out part is <c>fraction</c> (0 to 1) of each class, rounded.</summary>
    let split (fraction: float) seed source =
        let halves =
            byClass Purpose.HoldingOut seed source
            |> Array.map (fun indices -> Array.splitAt (int (round (fraction * float indices.Length))) indices)

        let part choose = subset (Array.sort (Array.collect choose halves)) source
        part snd, part fst

    /// <summary>Caches decoded images, up to this many bytes.</summary>
    /// <remarks>Images beyond the limit and unreadable ones are decoded at each access. Thread-safe; all users of the source share the cache.</remarks>
    let cached (bytes: int64) source =
        let images: Image option[] = Array.create source.Count None
        let available = [| bytes |]

        let keep i (image: Image) =
            let size = int64 image.Pixels.Length

            if
                Interlocked.Add(&available[0], -size) < 0L
                || (Interlocked.CompareExchange(&images[i], Some image, None)).IsSome
            then
                Interlocked.Add(&available[0], size) |> ignore

            image

        { source with
            Load =
                fun i ->
                    match images[i] with
                    | Some image -> Ok image
                    | None -> source.Load i |> Result.map (keep i) }

    /// Images whose pixels a fingerprint hashes.
    let private hashedImages = 16

    /// <summary>A hash of the labels, of the images' names (without folders, which may move), and of the pixels of 16 evenly spaced images.</summary>
    /// <remarks>Detects images that were added, removed, renamed or relabelled. May miss an image whose content changed.</remarks>
    let fingerprint source =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        let add (text: string) = hash.AppendData(ReadOnlySpan(Encoding.UTF8.GetBytes(text + "\n")))

        for i in 0 .. source.Count - 1 do
            add $"{source.Label i} {Path.GetFileName(source.Name i)}"

        for place in 0 .. min hashedImages source.Count - 1 do
            match source.Load(int (int64 place * int64 source.Count / int64 (min hashedImages source.Count))) with
            | Ok image ->
                add $"{image.Width}×{image.Height}"
                hash.AppendData image.Pixels
            | Error _ -> add "unreadable"

        Convert.ToHexStringLower(hash.GetHashAndReset())[..31]
