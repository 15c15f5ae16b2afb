namespace NormFree.Training

/// <summary>How a network did on one set of images.</summary>
/// <remarks><c>Loss</c> is the mean cross entropy in nats; <c>Top1</c> and <c>Top5</c> are shares from 0 to 1.</remarks>
type Accuracy =
    { Loss: float
      Top1: float
      Top5: float
      Images: int }

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
        /// Images of the epoch that could not be decoded.
        Unreadable: int
        /// Wall time of the epoch's training, without its evaluation.
        Seconds: float
    }

/// <summary>A run as it is read back from its folder: what was asked for, and what came of it so far.</summary>
type RunLog =
    {
        /// The run folder's name.
        Name: string
        /// What tells this run from its neighbours in a comparison, for example <c>bn-free</c>.
        Label: string
        /// The whole resolved configuration: key and value, in the order in which a person would read them.
        Configuration: (string * string) list
        Epochs: EpochRecord list
        /// False for a run that was interrupted or is still going.
        Finished: bool
    }
