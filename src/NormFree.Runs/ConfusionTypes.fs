namespace NormFree.Runs

/// <summary>How a network did on the test images of one class.</summary>
type ClassResult = { Name: string; Images: int; Right: int }

/// <summary>How many test images of one class (<c>Truth</c>) were taken for another (<c>Guess</c>); classes are numbers from 0.</summary>
type ConfusedPair = { Truth: int; Guess: int; Count: int }

/// <summary>A test image that was taken for another class.</summary>
type Mistake =
    {
        Truth: int
        Guess: int
        /// What the network gave the wrong class, from 0 to 1.
        Probability: float
        /// What its source calls the image, without folders.
        Name: string
        /// The image as it was prepared for the network, before it was normalised: a PNG in base64, 64 pixels along its shorter side or less.
        Picture: string
    }

/// <summary>What the best network of a run's last stage takes for what: the content of <c>confusion.json</c>.</summary>
type Confusion =
    {
        /// <c>Fingerprint.ofCheckpoint</c> of the network's checkpoint.
        Checkpoint: string
        Stage: string
        /// The epoch that the network is of.
        Epoch: int
        /// By number.
        Classes: ClassResult list
        /// Most frequent first; the first 2000, which are all where there are up to 45 classes.
        Pairs: ConfusedPair list
        /// Of the most frequent pairs, the mistakes that the network was most confident of; 24 or less.
        Mistakes: Mistake list
    }

    /// <summary>How many images it was tested on.</summary>
    member c.Images = c.Classes |> List.sumBy _.Images

    /// <summary>The share of them that it recognised.</summary>
    member c.Top1 = float (c.Classes |> List.sumBy _.Right) / float (max 1 c.Images)
