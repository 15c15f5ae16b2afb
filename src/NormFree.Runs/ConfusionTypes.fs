namespace NormFree.Runs

/// <summary>A network's accuracy on the test images of one class.</summary>
type ClassResult = { Name: string; Images: int; Right: int }

/// <summary>The number of test images of class <c>Truth</c> that were predicted as <c>Guess</c>. Classes count from 0.</summary>
type ConfusedPair = { Truth: int; Guess: int; Count: int }

/// <summary>A misclassified test image.</summary>
type Mistake =
    {
        Truth: int
        Guess: int
        /// The predicted probability of the wrong class, from 0 to 1.
        Probability: float
        /// The image's file name, or its name in the data set.
        Name: string
        /// The preprocessed image before normalisation: a PNG in base64, at most 64 pixels along its shorter side.
        Picture: string
    }

/// <summary>The confusion matrix of the best network of a run's last stage: the content of <c>confusion.json</c>.</summary>
type Confusion =
    {
        /// <c>Fingerprint.ofCheckpoint</c> of the network's checkpoint.
        Checkpoint: string
        Stage: string
        /// The network's epoch.
        Epoch: int
        /// Indexed by class number.
        Classes: ClassResult list
        /// At most 2000 pairs, most frequent first. With up to 45 classes these are all.
        Pairs: ConfusedPair list
        /// At most 24: the most confident mistakes of the most frequent pairs.
        Mistakes: Mistake list
    }

    /// <summary>The number of test images.</summary>
    member c.Images = c.Classes |> List.sumBy _.Images

    /// <summary>The fraction of them that was classified correctly.</summary>
    member c.Top1 = float (c.Classes |> List.sumBy _.Right) / float (max 1 c.Images)
