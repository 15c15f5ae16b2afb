namespace NormFree.Data

open System
open System.Threading
open NormFree.Kernels.Images

module private Reading =
    /// One batch: the readable images, and the others as (index, name, reason).
    type Work = { Batch: Batch; Failures: (int * string * string) list }

    /// Writes one image as 3 normalised planes at `offset`.
    let private normalise (options: LoaderOptions) (image: Image) (target: float32[]) offset =
        let planes = Span(target, offset, 3 * image.Width * image.Height)
        RgbImage.Normalise(image.Pixels, options.Normalisation.Mean, options.Normalisation.Deviation, planes)

    let private checkSize side (image: Image) =
        if image.Width = side && image.Height = side then
            Ok image
        else
            Error
                $"it is {image.Width}×{image.Height}, the network takes {side}×{side}, and no step of the augmentation \
                  resizes it"

    let private augment (options: LoaderOptions) index image =
        let random = RandomStream.For(Purpose.Augmenting, options.Seed, int64 options.Epoch, int64 index)
        Augment.run options.Steps random image |> Result.bind (checkSize options.Side)

    let prepare options image =
        augment options 0 image
        |> Result.map (fun image ->
            let values = Array.zeroCreate (3 * options.Side * options.Side)
            normalise options image values 0
            values)

    let private trim (batch: Batch) count =
        { batch with
            Images = Array.sub batch.Images 0 (count * 3 * batch.Side * batch.Side)
            Labels = Array.sub batch.Labels 0 count
            Partners = Array.truncate count batch.Partners
            Shares = Array.truncate count batch.Shares
            Indices = Array.sub batch.Indices 0 count
            Count = count }

    /// The image after all steps.
    let private load (options: LoaderOptions) (source: ImageSource) index =
        source.Load index |> Result.bind (augment options index)

    /// The image after all steps, mixed with another one if a step says so.
    let private loadMixed (options: LoaderOptions) (mixes: Augment list) (source: ImageSource) index =
        let random = RandomStream.For(Purpose.Mixing, options.Seed, int64 options.Epoch, int64 index)

        load options source index
        |> Result.map (Mixing.apply mixes random source.Count (load options source) index)

    let batch (options: LoaderOptions) (cancellation: CancellationToken) (source: ImageSource) (indices: int[]) =
        let size = 3 * options.Side * options.Side
        let mixes = options.Steps |> List.filter _.Mixes
        let mixed = if mixes.IsEmpty then 0 else indices.Length

        let loaded index =
            if mixes.IsEmpty then
                load options source index
                |> Result.map (fun image -> { Image = image; Partner = index; Share = 1.0 })
            else
                loadMixed options mixes source index

        let full =
            { Images = GC.AllocateUninitializedArray(indices.Length * size)
              Labels = Array.zeroCreate indices.Length
              Partners = Array.zeroCreate mixed
              Shares = Array.zeroCreate mixed
              Indices = Array.zeroCreate indices.Length
              Count = indices.Length
              Side = options.Side
              Progress = LoaderProgress.None }

        let mutable count = 0
        let mutable failures = []

        for index in indices do
            cancellation.ThrowIfCancellationRequested()

            match loaded index with
            | Ok found ->
                normalise options found.Image full.Images (count * size)
                full.Labels[count] <- int64 (source.Label index)

                if mixed > 0 then
                    full.Partners[count] <- int64 (source.Label found.Partner)
                    full.Shares[count] <- float32 found.Share

                full.Indices[count] <- index
                count <- count + 1
            | Error reason -> failures <- (index, source.Name index, reason) :: failures

        { Batch = if count = indices.Length then full else trim full count
          Failures = List.rev failures }

/// <summary>Reads a source in batches, and decodes and augments on worker threads.</summary>
/// <example><code>
/// let options = { Loader.training dataset 64 with Seed = 7L; Epoch = 3 }
/// for batch in Loader.read options dataset.Train (Loader.shuffled 7L 3 dataset.Train.Count) do
///     train batch.Images batch.Labels
/// </code></example>
module Loader =
    let private options steps (dataset: Dataset) batchSize =
        { BatchSize = batchSize
          Workers = Environment.ProcessorCount
          Prefetch = Environment.ProcessorCount + 2
          Steps = steps
          Normalisation = dataset.Normalisation
          Side = dataset.Size
          Seed = 0L
          Epoch = 0
          From = LoaderProgress.None
          Strict = false
          Report = ignore
          Cancellation = CancellationToken.None }

    /// Options with the data set's training steps.
    let training (dataset: Dataset) batchSize = options dataset.Augmentation.Train dataset batchSize

    /// Options with the data set's test steps.
    let testing (dataset: Dataset) batchSize = options dataset.Augmentation.Test dataset batchSize

    /// 0 … n − 1.
    let inOrder n = Array.init n id

    /// 0 … n − 1, shuffled by (seed, epoch).
    let shuffled (seed: int64) (epoch: int) n =
        let order = inOrder n
        RandomStream.For(Purpose.Ordering, seed, int64 epoch).Shuffle order
        order

    /// <summary>Preprocesses one image on the calling thread: 3×Side×Side normalised values, or an error.</summary>
    let prepare (options: LoaderOptions) (image: Image) : Result<float32[], string> = Reading.prepare options image

    /// After this many consecutive unreadable images, the storage is assumed to be gone.
    [<Literal>]
    let MaxConsecutiveUnreadable = 100

    let private report options total (index, name, reason) =
        if options.Strict then
            raise (DataException $"{name} cannot be read: {reason}. Replace or remove it, or read without Strict.")

        options.Report { Index = index; Name = name; Reason = reason; Total = total }

    let private check options =
        let positive name value =
            if value < 1 then
                invalidArg name $"{name} must be at least 1, not {value}."

        positive (nameof options.BatchSize) options.BatchSize
        positive (nameof options.Workers) options.Workers
        positive (nameof options.Prefetch) options.Prefetch
        positive (nameof options.Side) options.Side

    /// <summary>The shard's part of each batch. The parts of all shards make up the batches of <c>read</c>.</summary>
    /// <remarks>
    /// Returns every batch, even if the shard's part of it is empty. <c>Progress.Places</c> counts positions of the whole order,
    /// <c>Progress.Unreadable</c> counts unreadable images of this shard. Each enumeration starts its own threads and ends them when its enumerator is
    /// disposed.
    /// </remarks>
    /// <exception cref="T:NormFree.Data.DataException">MaxConsecutiveUnreadable consecutive images are unreadable, or one is and Strict is
    /// set.</exception>
    /// <exception cref="T:System.OperationCanceledException">The options' token was cancelled.</exception>
    let readShard (shard: Shard) (options: LoaderOptions) (source: ImageSource) (order: int[]) : seq<Batch> =
        check options

        seq {
            let run cancellation indices = Reading.batch options cancellation source indices
            use pipeline = new Pipeline<_, _>(options.Workers, options.Prefetch, run, options.Cancellation)
            let mutable unreadable = options.From.Unreadable
            let mutable places = options.From.Places
            let mutable firstFailure = ""
            let mutable consecutive = 0
            let batches = Array.chunkBySize options.BatchSize (Array.skip places order)

            for batch, work in Seq.zip batches (pipeline.Run(Seq.map (Shard.take shard) batches)) do
                places <- places + batch.Length

                for _, name, reason as failure in work.Failures do
                    unreadable <- unreadable + 1

                    if firstFailure = "" then
                        firstFailure <- $" The first: {name}: {reason}."

                    report options unreadable failure

                consecutive <- if work.Batch.Count > 0 then 0 else consecutive + work.Failures.Length

                if consecutive >= MaxConsecutiveUnreadable && unreadable < order.Length then
                    raise (
                        DataException
                            $"{consecutive} consecutive images could not be read, {unreadable} in total.{firstFailure} Check that the disk or archive is \
                              still available."
                    )

                yield { work.Batch with Progress = { Places = places; Unreadable = unreadable } }
        }

    /// <summary>Throws a DataException that names the first image, if none of <c>count</c> images could be read.</summary>
    let requireReadable count (unreadable: int) (first: UnreadableImage option) =
        if unreadable = count then
            let what = first |> Option.map (fun image -> $" The first: {image.Name}: {image.Reason}.")
            raise (DataException $"None of {count} images could be read.{Option.toObj what}")

    /// <summary>The images at these indices of the source, in this order, in batches.</summary>
    /// <remarks>
    /// Unreadable images are reported and skipped, and so are batches without a readable image. Each enumeration starts its own threads and ends
    /// them when its enumerator is disposed.
    /// </remarks>
    /// <exception cref="T:NormFree.Data.DataException">All images are unreadable, or MaxConsecutiveUnreadable consecutive ones, or one and Strict is
    /// set.</exception>
    /// <exception cref="T:System.OperationCanceledException">The options' token was cancelled.</exception>
    let read (options: LoaderOptions) (source: ImageSource) (order: int[]) : seq<Batch> =
        check options

        seq {
            let failures = ResizeArray()

            let report image =
                if failures.Count = 0 then
                    failures.Add image

                options.Report image

            let mutable unreadable = options.From.Unreadable

            for batch in readShard Shard.Whole { options with Report = report } source order do
                unreadable <- batch.Progress.Unreadable

                if batch.Count > 0 then
                    yield batch

            requireReadable order.Length unreadable (Seq.tryHead failures)
        }
