namespace NormFree.Runs

/// <summary>How a network did on one set of images.</summary>
/// <remarks><c>Loss</c> is a mean in nats: in training of the loss that is trained, in tests of the cross entropy. <c>Top1</c> and <c>Top5</c> are shares from 0 to 1.</remarks>
type Accuracy = { Loss: float; Top1: float; Top5: float; Images: int }

/// <summary>Something that is wrong with a network's numbers, and where it was noticed.</summary>
type NumericalIssue =
    {
        Stage: string
        /// From 1.
        Epoch: int
        /// The step of the epoch, from 1.
        Step: int
        /// The layer or parameter where it was noticed first; <c>loss</c> where no layer is to blame.
        Layer: string
        /// The batch: places of its images in the training set.
        Batch: int list
        /// In words, without a full stop.
        What: string
    }

/// <summary>What was noticed about the numbers of an epoch.</summary>
type Health =
    {
        /// Batches that were left out because of them.
        Skipped: int
        /// How often an earlier checkpoint was gone back to.
        RolledBack: int
        /// What was noticed, oldest first; the first twenty.
        Issues: NumericalIssue list
        /// Binary layers with channels that had the same sign all over a batch of test images, and how many.
        OneSign: (string * int) list
    }

/// <summary>One line of a run's log: what one epoch of one stage did.</summary>
type EpochRecord =
    {
        /// The stage's name: <c>activations</c>, <c>activations+weights</c> or <c>full-precision</c>.
        Stage: string
        /// From 1.
        Epoch: int
        Epochs: int
        /// At the epoch's last step.
        LearningRate: float
        /// Means over the epoch's training images, as they were seen (augmented, weights changing).
        Train: Accuracy
        Test: Accuracy
        /// On the part of the training set that was set aside, where one was asked for.
        HeldOut: Accuracy option
        /// Share of clipping units (filters, vectors) whose gradient was clipped, from 0 to 1; 0 without clipping.
        Clipped: float
        /// The same for each parameter that clipping reaches, by its name.
        ClippedOf: (string * float) list
        /// Images of the epoch that could not be decoded.
        Unreadable: int
        /// Nothing in logs from before it was looked at.
        Health: Health option
        /// Wall time of the epoch's training, without its evaluation.
        Seconds: float
    }

    /// <summary>What the best epoch is chosen by: top-1 on the part held out, or on the test set where nothing is (deviation 12).</summary>
    member r.Score = (r.HeldOut |> Option.defaultValue r.Test).Top1

/// <summary>A run as it is read back from its folder: what was asked for, and what came of it so far.</summary>
type RunLog =
    {
        /// The run folder's name.
        Name: string
        /// What tells this run from its neighbours in a comparison, for example <c>bn-free</c>.
        Label: string
        /// The command line that made it, without the program's name; empty for a script's run.
        Arguments: string list
        /// The whole resolved configuration: key and value, in the order in which a person would read them.
        Configuration: (string * string) list
        Epochs: EpochRecord list
        /// False for a run that was interrupted or is still going.
        Finished: bool
    }

    /// <summary>The stages in their order, each with its epochs and the best of them: the first one with the highest score.</summary>
    member run.Stages: (string * EpochRecord list * EpochRecord) list =
        run.Epochs
        |> List.groupBy (fun (r: EpochRecord) -> r.Stage)
        |> List.map (fun (stage, epochs) -> stage, epochs, List.maxBy (fun (r: EpochRecord) -> r.Score) epochs)
