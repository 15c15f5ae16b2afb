namespace NormFree.Runs

/// <summary>Own images: what the defaults of a training depend on.</summary>
type ImageStatistics =
    {
        /// Training images without the held-out ones.
        Images: int
        /// Pixels along the shorter side of the median image.
        ShortSide: int
    }

/// <summary>Settings that suit a number of images of some size.</summary>
type ImageDefaults =
    {
        /// Pixels along a side of the network's input.
        Size: int
        /// Factor of the architecture's channels.
        Width: float
        Batch: int
        LearningRate: float
        Epochs: int
        Schedule: Schedule
        /// Whether CutMix is added to the augmentation.
        CutMix: bool
        /// The decay of the average of the weights, if there is one.
        WeightAverage: float option
    }

/// <summary>Defaults of trainings on own images. docs/tutorials/own-images.md explains the rules.</summary>
[<RequireQualifiedAccess>]
module ImageDefaults =

    /// <summary>The fraction of the training images that is held out if there are no test images.</summary>
    let heldOut = 0.2

    /// <summary>A training with fewer steps per epoch gets a warning.</summary>
    let minSteps = 20

    /// <summary>A class with fewer training images gets a warning.</summary>
    let minImagesPerClass = 10

    /// <summary>Whether images are so few that features of other images help.</summary>
    let areFew images = images < 2_000

    /// <summary>Steps of an epoch.</summary>
    let stepsPerEpoch images batch = (images + batch - 1) / batch

    /// The steps of each stage, if that takes neither too few nor too many epochs.
    let private wantedSteps = 2000

    /// <summary>Pixels along a side. Larger inputs cost more time than few images are worth, and images of 32 pixels or more are never enlarged.</summary>
    let size (statistics: ImageStatistics) =
        let byNumber =
            if areFew statistics.Images then 64
            elif statistics.Images < 50_000 then 128
            else 224

        min byNumber (max 32 (statistics.ShortSide / 32 * 32))

    /// Twenty steps per epoch or more, in multiples of eight images where possible.
    let private batch images =
        let most = images / minSteps

        if most >= 64 then 64
        elif most >= 8 then most / 8 * 8
        else max 4 most

    /// <summary>The settings for these images.</summary>
    let choose (statistics: ImageStatistics) : ImageDefaults =
        let batch = batch statistics.Images
        let steps = stepsPerEpoch statistics.Images batch

        { Size = size statistics
          Width = if statistics.Images < 5_000 then 1.0 else 2.0
          Batch = batch
          LearningRate = if batch < 32 then 5e-4 else 1e-3
          Epochs = (wantedSteps + steps - 1) / steps |> max 10 |> min 50
          Schedule = Cosine
          CutMix = areFew statistics.Images
          WeightAverage = if areFew statistics.Images then Some 0.99 else None }
