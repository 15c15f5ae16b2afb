namespace NormFree.Data

open System
open System.Text.Json.Serialization

/// <summary>The splits of EMNIST (Cohen et al. 2017).</summary>
[<RequireQualifiedAccess>]
type EmnistSplit =
    /// 62 classes: digits, capital and small letters.
    | [<JsonPropertyName "byclass">] ByClass
    /// 47 classes: letters whose two cases look alike share a class.
    | [<JsonPropertyName "bymerge">] ByMerge
    /// The classes of ByMerge with equal numbers of images.
    | [<JsonPropertyName "balanced">] Balanced
    /// 26 classes.
    | [<JsonPropertyName "letters">] Letters
    | [<JsonPropertyName "digits">] Digits
    /// MNIST's images as EMNIST prepares them.
    | [<JsonPropertyName "mnist">] Mnist

/// <summary>Data sets in MNIST's four IDX files: MNIST, Fashion-MNIST (Xiao et al. 2017), EMNIST, and others with class names of their own.</summary>
[<RequireQualifiedAccess>]
type IdxSet =
    | Mnist
    | FashionMnist
    /// None chooses the only split that there is.
    | Emnist of EmnistSplit option

/// <summary>What is known about these data sets without their files.</summary>
module IdxSet =

    /// The name of a split in the names of its files and on the command line.
    let splitName split =
        match split with
        | EmnistSplit.ByClass -> "byclass"
        | EmnistSplit.ByMerge -> "bymerge"
        | EmnistSplit.Balanced -> "balanced"
        | EmnistSplit.Letters -> "letters"
        | EmnistSplit.Digits -> "digits"
        | EmnistSplit.Mnist -> "mnist"

    let splits =
        [ EmnistSplit.ByClass
          EmnistSplit.ByMerge
          EmnistSplit.Balanced
          EmnistSplit.Letters
          EmnistSplit.Digits
          EmnistSplit.Mnist ]

    let private letters first last = [| for letter in first..last -> string letter |]
    let private digits = letters '0' '9'

    /// In these splits, letters whose two cases look alike share a class.
    let private merged =
        Array.concat [ digits; letters 'A' 'Z'; [| for letter in "abdefghnqrt" -> string letter |] ]

    let private fashion =
        [| "t-shirt"; "trouser"; "pullover"; "dress"; "coat"; "sandal"; "shirt"; "sneaker"; "bag"; "boot" |]

    /// The names of the classes, by label.
    let classes set =
        match set with
        | IdxSet.FashionMnist -> fashion
        | IdxSet.Emnist(Some EmnistSplit.ByClass) -> Array.concat [ digits; letters 'A' 'Z'; letters 'a' 'z' ]
        | IdxSet.Emnist(Some(EmnistSplit.ByMerge | EmnistSplit.Balanced)) -> merged
        | IdxSet.Emnist(Some EmnistSplit.Letters) -> letters 'a' 'z'
        | IdxSet.Emnist(Some(EmnistSplit.Digits | EmnistSplit.Mnist) | None)
        | IdxSet.Mnist -> digits

    /// The name of the data set on the command line.
    let name set =
        match set with
        | IdxSet.Mnist -> "mnist"
        | IdxSet.FashionMnist -> "fashion-mnist"
        | IdxSet.Emnist(Some split) -> $"emnist-{splitName split}"
        | IdxSet.Emnist None -> "emnist"

    /// Mean and deviation of the training images.
    let normalisation set =
        match set with
        | IdxSet.Mnist -> Normalisation.mnist
        | IdxSet.FashionMnist -> Normalisation.fashionMnist
        | IdxSet.Emnist _ -> Normalisation.emnist
