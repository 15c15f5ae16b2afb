namespace NormFree.Data

/// <summary>The network's input is (x/255 − Mean) / Deviation per channel (R, G, B), for a byte x.</summary>
type Normalisation = { Mean: float32[]; Deviation: float32[] }

/// <summary>The constants of the published recipe.</summary>
module Normalisation =
    let private ofLists mean deviation = { Mean = Array.map float32 mean; Deviation = Array.map float32 deviation }

    let cifar10 = ofLists [| 0.4914; 0.4822; 0.4465 |] [| 0.2470; 0.2435; 0.2616 |]
    let cifar100 = ofLists [| 0.5071; 0.4865; 0.4409 |] [| 0.2673; 0.2564; 0.2762 |]
    let imageNet = ofLists [| 0.485; 0.456; 0.406 |] [| 0.229; 0.224; 0.225 |]

    /// Of the 60 000 training images at 28×28; equal for the three channels.
    let fashionMnist = ofLists [| 0.2860; 0.2860; 0.2860 |] [| 0.3530; 0.3530; 0.3530 |]

    /// Of the 60 000 training images at 28×28.
    let mnist = ofLists [| 0.1307; 0.1307; 0.1307 |] [| 0.3081; 0.3081; 0.3081 |]

    /// Of the training images of the split byclass; those of the other splits differ by less than 0.003.
    let emnist = ofLists [| 0.1736; 0.1736; 0.1736 |] [| 0.3317; 0.3317; 0.3317 |]

/// <summary>A classification task: its images and their preprocessing.</summary>
type Dataset =
    {
        Name: string
        /// Names by label.
        Classes: string[]
        Train: ImageSource
        Test: ImageSource
        Normalisation: Normalisation
        /// Side of the network's square input in pixels.
        Size: int
        Augmentation: Augmentation
        /// What the reader left out or assumed, one sentence each.
        Notes: string list
    }

module Dataset =
    /// At most this many training and test images, balanced over the classes.
    let limit train test seed (dataset: Dataset) =
        { dataset with
            Train = ImageSource.limit train seed dataset.Train
            Test = ImageSource.limit test seed dataset.Test }
