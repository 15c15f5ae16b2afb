namespace NormFree.Data

open System.Text.Json.Serialization

/// <summary>The data sets of the option <c>--dataset</c>.</summary>
type DatasetKind =
    | [<JsonPropertyName "cifar10">] Cifar10
    | [<JsonPropertyName "cifar100">] Cifar100
    | [<JsonPropertyName "folder">] ImageFolder
    | [<JsonPropertyName "mnist">] Mnist
    | [<JsonPropertyName "fashion-mnist">] FashionMnist
    | [<JsonPropertyName "emnist">] Emnist
    | [<JsonPropertyName "synthetic">] Synthetic

/// <summary>The labels of CIFAR-100: 100 fine or 20 coarse classes.</summary>
type LabelSet =
    | Fine
    | Coarse

/// <summary>Options for opening a data set.</summary>
type DatasetOptions =
    {
        /// Side of the network's input in pixels; None for the data set's default.
        Size: int option
        /// Maximum number of training images, balanced over the classes.
        Limit: int option
        /// Maximum number of test images, balanced over the classes.
        TestLimit: int option
        /// Seed of the balanced choice and of the synthetic data set.
        Seed: int64
        /// For CIFAR-100.
        Labels: LabelSet
        /// For images that use ImageNet's augmentation.
        Lighting: LightingMode
        /// Numbers of training and test images of the synthetic data set.
        Synthetic: int * int
        /// The split of EMNIST; None for the only one that there is.
        Emnist: EmnistSplit option
        /// A text file with the name of one class in each line; None for the data set's own names.
        ClassNames: string option
        /// How the splits of image folders are chosen.
        Folder: FolderOptions
        /// The fraction and the seed of a recipe's held-out images. They are also the test images of a data set without any.
        HeldOut: (float * int64) option
    }
