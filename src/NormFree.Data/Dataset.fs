namespace NormFree.Data

/// <summary>Per channel (R, G, B), on the scale on which a byte of 255 is 1: the network sees (x − Mean) /
/// Deviation.</summary>
type Normalisation = { Mean: float32[]; Deviation: float32[] }

/// <summary>The constants of the published recipe.</summary>
module Normalisation =
    let private ofLists mean deviation = { Mean = Array.map float32 mean; Deviation = Array.map float32 deviation }

    let cifar10 = ofLists [| 0.4914; 0.4822; 0.4465 |] [| 0.2470; 0.2435; 0.2616 |]
    let cifar100 = ofLists [| 0.5071; 0.4865; 0.4409 |] [| 0.2673; 0.2564; 0.2762 |]
    let imageNet = ofLists [| 0.485; 0.456; 0.406 |] [| 0.229; 0.224; 0.225 |]

    /// Of the 60 000 training images at 28×28, one grey for three channels.
    let fashionMnist = ofLists [| 0.2860; 0.2860; 0.2860 |] [| 0.3530; 0.3530; 0.3530 |]

/// <summary>A classification task: its images, and what a network must know of them.</summary>
type Dataset =
    {
        Name: string
        /// Names by label.
        Classes: string[]
        Train: ImageSource
        Test: ImageSource
        Normalisation: Normalisation
        /// Pixels along a side of the network's (square) input.
        Size: int
        Augmentation: Augmentation
    }

module Dataset =
    /// At most so many training and test images, balanced over the classes.
    let limit train test seed (dataset: Dataset) =
        { dataset with
            Train = ImageSource.limit train seed dataset.Train
            Test = ImageSource.limit test seed dataset.Test }
