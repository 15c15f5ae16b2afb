/// Options of the data set.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Data

open NormFree.Cli
open NormFree.Data
open NormFree.Runs

let private data option = Opt.group "Data set" option

let dataset =
    Opt.choice
        "--dataset"
        "KIND"
        [ "cifar10", DatasetKind.Cifar10
          "cifar100", DatasetKind.Cifar100
          "folder", DatasetKind.ImageFolder
          "mnist", DatasetKind.Mnist
          "fashion-mnist", DatasetKind.FashionMnist
          "emnist", DatasetKind.Emnist
          "synthetic", DatasetKind.Synthetic ]
        "Data set."
    |> Opt.defaultsTo "synthetic"
    |> data

let dataPath = Opt.path "--data" "PATH" "Folder, archive or file of the data set." |> data

let size =
    Opt.whole "--size" "N" Limits.imageSide "Image side in pixels (default: the data set's)." |> data

let resize =
    Opt.whole "--resize" "N" Limits.imageSide "Shorter side before the centre crop (default: 8/7 of --size above 64)."
    |> data

let normalisation =
    Opt.choice
        "--normalisation"
        "NAME"
        [ "imagenet", Normalisation.imageNet
          "cifar10", Normalisation.cifar10
          "cifar100", Normalisation.cifar100 ]
        "Mean and deviation (default: the data set's, or by --size)."
    |> data

let augment =
    let extra text =
        let alpha standard (text: string option) case =
            match Option.map Opt.tryReal text with
            | None -> Some(case standard)
            | Some(Some alpha) when alpha > 0.0 && alpha <= Limits.mixAlpha -> Some(case alpha)
            | Some _ -> None

        let magnitude (text: string option) =
            match Option.map Opt.tryWhole text with
            | None -> Some(WithRandAugment(2, 9))
            | Some(Some bin) when fst Limits.randMagnitude <= bin && bin <= snd Limits.randMagnitude ->
                Some(WithRandAugment(2, bin))
            | Some _ -> None

        match Opt.wordAndParameter text with
        | "reflect", None -> Some Reflect
        | "mixup", parameter -> alpha 0.2 parameter WithMixup
        | "cutmix", parameter -> alpha 1.0 parameter WithCutMix
        | "randaugment", parameter -> magnitude parameter
        | _ -> None

    Opt.custom
        "--augment"
        "LIST"
        ValueKind.Text
        $"none, or a list of reflect, mixup[:ALPHA], cutmix[:ALPHA] and randaugment[:MAGNITUDE], such as reflect,cutmix:1; an ALPHA is above 0 and up to \
          {Limits.mixAlpha}, a MAGNITUDE a whole number up to {snd Limits.randMagnitude}"
        "Add to the augmentation: reflect, mixup[:ALPHA], cutmix[:ALPHA], randaugment[:MAGNITUDE], separated by commas; or none."
        (fun text ->
            let extras = (if text = "none" then [||] else text.Split ',') |> Array.map extra |> Array.toList
            if List.forall Option.isSome extras then Some(List.choose id extras) else None)
    |> data

let limit =
    Opt.whole "--limit" "N" Limits.images "Number of training images, balanced over classes." |> data

let testLimit =
    Opt.whole "--test-limit" "N" Limits.images "Number of test images, balanced over classes." |> data

let heldOut =
    Opt.real
        "--held-out"
        "X"
        "a share from 0 to below 1"
        (fun value -> value >= 0.0 && value < 1.0)
        "Fraction of training images held out for validation."
    |> Opt.defaultsTo "0"
    |> data

let trainSplit =
    Opt.text "--train-split" "NAME" "Folder of the training images; '.' is the data set itself." |> data

let testSplit = Opt.text "--test-split" "NAME" "Folder of the test images." |> data

let emnistSplit =
    Opt.choice
        "--emnist-split"
        "NAME"
        [ for split in IdxSet.splits -> IdxSet.splitName split, split ]
        "Split of EMNIST (default: the only one there is)."
    |> data

let classNames = Opt.path "--class-names" "FILE" "Names of the classes, one in each line." |> data

let allowLeftOut =
    Opt.flag "--allow-left-out" "Accept classes of which more than half is left out." |> data

let strict = Opt.flag "--strict" "Stop at an image that cannot be read." |> data
