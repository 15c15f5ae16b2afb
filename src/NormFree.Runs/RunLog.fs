namespace NormFree.Runs

/// <summary>A network's accuracy on one set of images.</summary>
/// <remarks><c>Loss</c> is a mean in nats: of the training loss on training images, of the cross entropy on test images. <c>Top1</c> and <c>Top5</c>
/// are fractions from 0 to 1.</remarks>
type Accuracy = { Loss: float; Top1: float; Top5: float; Images: int }

/// <summary>NaN, infinity or an exploding gradient, and where it was found.</summary>
type NumericalIssue =
    {
        Stage: string
        /// From 1.
        Epoch: int
        /// The step of the epoch, from 1.
        Step: int
        /// The first layer or parameter affected; <c>loss</c> if no layer is.
        Layer: string
        /// The batch: indices of its images in the training set.
        Batch: int list
        /// A description without a full stop.
        What: string
    }

/// <summary>The numerical issues of an epoch.</summary>
type Health =
    {
        /// Batches that were skipped.
        Skipped: int
        /// Rollbacks to an earlier checkpoint.
        RolledBack: int
        /// The first twenty issues, oldest first.
        Issues: NumericalIssue list
        /// Binary layers with channels that have the same sign everywhere in a batch of test images, and the number of such channels.
        OneSign: (string * int) list
    }

/// <summary>One line of a run's log: the results of one epoch of one stage.</summary>
type EpochRecord =
    {
        /// The stage's name: <c>activations</c>, <c>activations+weights</c> or <c>full-precision</c>.
        Stage: string
        /// From 1.
        Epoch: int
        Epochs: int
        /// At the epoch's last step.
        LearningRate: float
        /// Means over the epoch's training images, augmented and with changing weights.
        Train: Accuracy
        Test: Accuracy
        /// On the held-out part of the training set, if there is one.
        HeldOut: Accuracy option
        /// Fraction of clipping units (filters, vectors) whose gradient was clipped; 0 without clipping.
        Clipped: float
        /// The same for each clipped parameter, by name.
        ClippedOf: (string * float) list
        /// Images of the epoch that failed to decode.
        Unreadable: int
        /// None in logs of versions that did not record it.
        Health: Health option
        /// Wall time of the epoch's training without evaluation.
        Seconds: float
    }

    /// <summary>Decides the best epoch: top-1 on the held-out images, or on the test set if there are none (deviation 12).</summary>
    member r.Score = (r.HeldOut |> Option.defaultValue r.Test).Top1

/// <summary>Chooses the best epoch of a stage.</summary>
[<RequireQualifiedAccess>]
module EpochRecord =

    /// The standard error of an accuracy.
    let private standardError (accuracy: Accuracy) =
        sqrt (accuracy.Top1 * (1.0 - accuracy.Top1) / float (max 1 accuracy.Images))

    /// <summary>The best epoch. On test images: the first one with the highest score. On held-out images: the latest one within a standard error of the
    /// highest score. Throws ArgumentException for an empty list.</summary>
    /// <remarks>The one-standard-error rule (Breiman et al., "Classification and Regression Trees", 1984): few held-out images cannot tell such epochs
    /// apart, and later ones have a lower learning rate.</remarks>
    let best (epochs: EpochRecord list) : EpochRecord =
        let highest = epochs |> List.maxBy _.Score

        match highest.HeldOut with
        | None -> highest
        | Some accuracy ->
            let least = highest.Score - standardError accuracy
            // No score of a run that diverged may be comparable.
            epochs |> List.tryFindBack (fun epoch -> epoch.Score >= least) |> Option.defaultValue highest

/// <summary>A run as read from its folder: its configuration and its results so far.</summary>
type RunLog =
    {
        /// The run folder's name.
        Name: string
        /// Distinguishes this run from others in a comparison, for example <c>bn-free</c>.
        Label: string
        /// The command line that started it, without the program's name; empty for a script's run.
        Arguments: string list
        /// The resolved configuration: keys and values in reading order.
        Configuration: (string * string) list
        Epochs: EpochRecord list
        /// False for a run that was interrupted or is still running.
        Finished: bool
    }

    /// <summary>The stages in order, each with its epochs and its best epoch.</summary>
    member run.Stages: (string * EpochRecord list * EpochRecord) list =
        run.Epochs
        |> List.groupBy (fun (r: EpochRecord) -> r.Stage)
        |> List.map (fun (stage, epochs) -> stage, epochs, EpochRecord.best epochs)
