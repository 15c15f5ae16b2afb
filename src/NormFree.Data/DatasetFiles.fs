/// <summary>Recognises data sets by the names of their files, where a folder of images was expected.</summary>
module internal NormFree.Data.DatasetFiles

open System

/// A data set's name, its words for --dataset, and whether a file's name tells it.
type private Known = { Name: string; Options: string; Tells: string -> bool }

let private named names path = List.contains (FileSet.fileName path) names

let private idxImages (prefix: string) path =
    let name = IdxFile.canonicalName path
    name.StartsWith(prefix, StringComparison.Ordinal) && name.EndsWith "train-images-idx3-ubyte"

let private known =
    [ { Name = "CIFAR-10"
        Options = "--dataset cifar10"
        Tells = named [ "data_batch_1"; "data_batch_1.bin"; "test_batch"; "test_batch.bin" ] }
      { Name = "CIFAR-100"
        Options = "--dataset cifar100"
        Tells = named [ "fine_label_names.txt"; "train.bin" ] }
      { Name = "EMNIST"; Options = "--dataset emnist"; Tells = idxImages "emnist-" }
      { Name = "a data set of IDX files, as MNIST and Fashion-MNIST are"
        Options = "--dataset mnist or --dataset fashion-mnist"
        Tells = idxImages "" } ]

/// The Python version of CIFAR-100 has three files without extension.
let private isPythonHundred (set: FileSet) =
    [ "train"; "test"; "meta" ] |> List.forall (fun name -> (FileSet.tryFind name set).IsSome)

let private isTelling path = known |> List.exists (fun set -> set.Tells path)

/// Files that a compressed archive has to keep.
let private isWanted path = isTelling path || named [ "train"; "test"; "meta" ] path || ImageKind.isSupported path

let private describe (set: FileSet) =
    let found = known |> List.tryFind (fun known -> Array.exists known.Tells set.Files)
    let hundred = known |> List.tryFind (fun known -> known.Name = "CIFAR-100" && isPythonHundred set)

    found
    |> Option.orElse hundred
    |> Option.map (fun known -> DataError.create set.Place $"it is {known.Name}" $"Open it with {known.Options}")

/// <summary>The error that names the data set at this path, if it is a known one without images in files of their own.</summary>
let tryFind limits (path: string) : DataError option =
    match Archive.openWith limits isWanted path with
    | Ok set when not (Array.exists ImageKind.isSupported set.Files) -> describe set
    | _ -> None
