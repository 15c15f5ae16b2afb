namespace NormFree.Data

open System
open System.Threading

/// <summary>How far an epoch has been read; a resumed one starts there.</summary>
type LoaderProgress =
    {
        /// Positions of the order that are done.
        Places: int
        /// Images among them that could not be read.
        Unreadable: int
    }

    /// <summary>The start of an epoch.</summary>
    static member None = { Places = 0; Unreadable = 0 }

/// <summary>A batch of preprocessed images.</summary>
type Batch =
    {
        /// Count×3×Side×Side, row-major (NCHW), normalised.
        Images: float32[]
        /// Count classes, from 0.
        Labels: int64[]
        /// With mixed images: the class of each image's partner, and the share of its own class. Empty without.
        Partners: int64[]
        Shares: float32[]
        /// Each image's index in the source.
        Indices: int[]
        Count: int
        /// Side of the images in pixels.
        Side: int
        /// The progress after this batch. Pass it as <c>LoaderOptions.From</c> to resume after it.
        Progress: LoaderProgress
    }

/// <summary>An image that was skipped.</summary>
type UnreadableImage =
    {
        Index: int
        Name: string
        Reason: string
        /// Unreadable images of this epoch so far, including this one and those before <c>From</c>.
        Total: int
    }

/// <summary>The data cannot be used. The message names the data, the reason and the remedy.</summary>
[<Sealed>]
type DataException(message: string) =
    inherit Exception(message)

type LoaderOptions =
    {
        /// Images per batch. The last batch may be smaller.
        BatchSize: int
        /// Threads that decode and augment. Results do not depend on it.
        Workers: int
        /// Batches prepared ahead of the reader. Bounds the memory.
        Prefetch: int
        Steps: Augment list
        Normalisation: Normalisation
        /// Side of every image after its steps, in pixels.
        Side: int
        Seed: int64
        /// The random streams are keyed by seed, epoch and image index.
        Epoch: int
        /// Where to resume. Earlier images are neither decoded nor returned.
        From: LoaderProgress
        /// Throw a DataException at the first unreadable image.
        Strict: bool
        /// Called for each unreadable image, on the reader's thread, in image order.
        Report: UnreadableImage -> unit
        Cancellation: CancellationToken
    }
