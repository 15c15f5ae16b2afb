namespace NormFree.Data

open System
open System.Threading
open NormFree.Kernels.Images

/// <summary>How far a reading is: what is needed to go on with it.</summary>
type LoaderProgress =
    {
        /// Places of the order that are done.
        Places: int
        /// Images among them that could not be read.
        Unreadable: int
    }

    /// <summary>Nothing is done yet.</summary>
    static member None = { Places = 0; Unreadable = 0 }

/// <summary>Images that a network takes at once.</summary>
type Batch =
    {
        /// Count×3×Side×Side, row-major (NCHW), normalised.
        Images: float32[]
        /// Count classes, from 0.
        Labels: int64[]
        /// Where in the source each image stands.
        Indices: int[]
        Count: int
        /// Pixels.
        Side: int
        /// Where the reading stands when this batch is done: <c>LoaderOptions.From</c> of one that goes on behind it.
        Progress: LoaderProgress
    }

/// <summary>An image that was left out of its batch.</summary>
type Unreadable =
    {
        Index: int
        Name: string
        Reason: string
        /// How many there were in this reading, this one and those before <c>From</c> included.
        Total: int
    }

/// <summary>The data cannot be used; the message says which, why, and what to do.</summary>
[<Sealed>]
type DataException(message: string) =
    inherit Exception(message)

type LoaderOptions =
    {
        /// Images a batch; the last one may hold fewer.
        BatchSize: int
        /// Threads that decode and augment; results do not depend on it.
        Workers: int
        /// Batches that may be ready or in the making before one is asked for: this bounds the memory.
        Prefetch: int
        Steps: Augment list
        Normalisation: Normalisation
        /// Pixels along a side of every image once its steps are done.
        Side: int
        Seed: int64
        /// Keys the random streams together with the seed and an image's index.
        Epoch: int
        /// Where to go on: what is done already is neither decoded nor given.
        From: LoaderProgress
        /// The first unreadable image ends the reading with a DataException.
        Strict: bool
        /// Called on the reader's thread, in the order of the images.
        Report: Unreadable -> unit
        Cancellation: CancellationToken
    }

module private Reading =
    /// What a worker makes of one batch: the images that could be read, and the others as (index, name, reason).
    type Work = { Batch: Batch; Failures: (int * string * string) list }

    /// Writes one image as 3 planes of normalised floats at `offset`.
    let private normalise (options: LoaderOptions) (image: Image) (target: float32[]) offset =
        let planes = Span(target, offset, 3 * image.Width * image.Height)
        RgbImage.Normalise(image.Pixels, options.Normalisation.Mean, options.Normalisation.Deviation, planes)

    let private checkSize side (image: Image) =
        if image.Width = side && image.Height = side then
            Ok image
        else
            Error
                $"it is {image.Width}×{image.Height} where the network takes {side}×{side}, and no step of its \
                  augmentation resizes it"

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
            Indices = Array.sub batch.Indices 0 count
            Count = count }

    let batch (options: LoaderOptions) (cancellation: CancellationToken) source (indices: int[]) =
        let size = 3 * options.Side * options.Side

        let full =
            { Images = GC.AllocateUninitializedArray(indices.Length * size)
              Labels = Array.zeroCreate indices.Length
              Indices = Array.zeroCreate indices.Length
              Count = indices.Length
              Side = options.Side
              Progress = LoaderProgress.None }

        let mutable count = 0
        let mutable failures = []

        for index in indices do
            cancellation.ThrowIfCancellationRequested()

            match source.Load index |> Result.bind (augment options index) with
            | Ok image ->
                normalise options image full.Images (count * size)
                full.Labels[count] <- int64 (source.Label index)
                full.Indices[count] <- index
                count <- count + 1
            | Error reason -> failures <- (index, source.Name index, reason) :: failures

        { Batch = if count = indices.Length then full else trim full count
          Failures = List.rev failures }

/// <summary>Reads a source in batches, decoding and augmenting on worker threads.</summary>
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

    /// 0 … n − 1 in the random order of (seed, epoch).
    let shuffled (seed: int64) (epoch: int) n =
        let order = inOrder n
        RandomStream.For(Purpose.Ordering, seed, int64 epoch).Shuffle order
        order

    /// <summary>What a network gets of one image: 3×Side×Side normalised values, on the calling thread; or why it cannot be had.</summary>
    let prepare (options: LoaderOptions) (image: Image) : Result<float32[], string> = Reading.prepare options image

    /// Where so many images one after the other cannot be read, the disk or the archive has gone, not an image.
    [<Literal>]
    let MostInARow = 100

    let private report options total (index, name, reason) =
        if options.Strict then
            raise (DataException $"{name} cannot be read: {reason}. Mend or remove it, or read without Strict.")

        options.Report { Index = index; Name = name; Reason = reason; Total = total }

    let private check options =
        let positive name value =
            if value < 1 then
                invalidArg name $"{name} must be at least 1, not {value}."

        positive (nameof options.BatchSize) options.BatchSize
        positive (nameof options.Workers) options.Workers
        positive (nameof options.Prefetch) options.Prefetch
        positive (nameof options.Side) options.Side

    /// <summary>A share of each batch of these places of the source, in this order: batches are divided, so that all shares together are the
    /// batches of <c>read</c>.</summary>
    /// <remarks>
    /// Every batch is given, also where none of the share's images could be read, or where there are fewer images than shares: <c>Progress.Places</c>
    /// counts places of the whole order, <c>Progress.Unreadable</c> those of this share. Each enumeration starts its own threads, which have ended
    /// when its enumerator is disposed.
    /// </remarks>
    /// <exception cref="T:NormFree.Data.DataException">MostInARow images one after the other could not be read; or one could not, and Strict is
    /// set.</exception>
    /// <exception cref="T:System.OperationCanceledException">The options' token was cancelled.</exception>
    let readShare (share: Shard) (options: LoaderOptions) (source: ImageSource) (order: int[]) : seq<Batch> =
        check options

        seq {
            let run cancellation indices = Reading.batch options cancellation source indices
            use pipeline = new Pipeline<_, _>(options.Workers, options.Prefetch, run, options.Cancellation)
            let mutable unreadable = options.From.Unreadable
            let mutable places = options.From.Places
            let mutable firstFailure = ""
            let mutable inARow = 0
            let batches = Array.chunkBySize options.BatchSize (Array.skip places order)

            for batch, work in Seq.zip batches (pipeline.Run(Seq.map (Shard.take share) batches)) do
                places <- places + batch.Length

                for _, name, reason as failure in work.Failures do
                    unreadable <- unreadable + 1

                    if firstFailure = "" then
                        firstFailure <- $" The first: {name}: {reason}."

                    report options unreadable failure

                inARow <- if work.Batch.Count > 0 then 0 else inARow + work.Failures.Length

                if inARow >= MostInARow && unreadable < order.Length then
                    raise (
                        DataException
                            $"{inARow} images one after the other could not be read, {unreadable} in all.{firstFailure} Make sure that the disk or \
                              archive is still there."
                    )

                yield { work.Batch with Progress = { Places = places; Unreadable = unreadable } }
        }

    /// <summary>Throws DataException where not one of so many images could be read; the first of them is named.</summary>
    let requireReadable count (unreadable: int) (first: Unreadable option) =
        if unreadable = count then
            let what = first |> Option.map (fun image -> $" The first: {image.Name}: {image.Reason}.")
            raise (DataException $"Not one of {count} images could be read.{Option.toObj what}")

    /// <summary>The images at these places of the source, in this order, in batches.</summary>
    /// <remarks>
    /// An image that cannot be read is reported and left out; a batch of which nothing is left is not given. Batches without a single image that
    /// can be read, MostInARow images of them, end the reading: what is wrong then is more than some images.
    /// Each enumeration starts its own threads, which have ended when its enumerator is disposed.
    /// </remarks>
    /// <exception cref="T:NormFree.Data.DataException">None of the images could be read, or so many one after the other; or one could not,
    /// and Strict is set.</exception>
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

            for batch in readShare Shard.Whole { options with Report = report } source order do
                unreadable <- batch.Progress.Unreadable

                if batch.Count > 0 then
                    yield batch

            requireReadable order.Length unreadable (Seq.tryHead failures)
        }
