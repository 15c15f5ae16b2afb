/// <summary>Reads data sets in MNIST's four IDX files. Greyscale becomes RGB.</summary>
module NormFree.Data.IdxSetReader

open System
open NormFree.Formats
open NormFree.Data.IdxFile

let private remedy set =
    let source =
        match set with
        | IdxSet.FashionMnist -> " (Debian's package dataset-fashion-mnist installs them)"
        | _ -> ""

    "Provide train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each with \
     or without .gz"
    + source

let private depth (path: string) = path |> Seq.filter ((=) '/') |> Seq.length

/// The files of the set, plain before gzipped, those nearest to the root first.
let private candidates (files: FileSet) name =
    Array.indexed files.Files
    |> Array.filter (fun (_, path) -> canonicalName path = name && not (SplitName.isHidden path))
    |> Array.sortBy (fun (_, path) -> depth path, path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase), path)


/// The error for a missing file, which names some of those that there are.
let private missing set (files: FileSet) name =
    let has (suffix: string) = files.Files |> Array.exists _.EndsWith(suffix, StringComparison.OrdinalIgnoreCase)

    let found =
        files.Files |> Array.filter (SplitName.isHidden >> not) |> Printable.List |> String.concat ", "

    let content = if found = "" then "it is empty" else $"its files are {found}"

    let remedy =
        if has ".parquet" then
            "Open Parquet files with --dataset folder"
        else
            remedy set

    DataError.create files.Place $"it contains neither '{name}' nor '{name}.gz'; {content}" remedy

/// The file of this name. Two of them in different folders of the same depth are two data sets.
let private find set (files: FileSet) name =
    match List.ofArray (candidates files name) with
    | [] -> Error(missing set files name)
    | (_, first) :: rest when
        rest
        |> List.exists (fun (_, other) -> depth other = depth first && FileSet.parent other <> FileSet.parent first)
        ->
        let folders = first :: List.map snd rest |> List.map FileSet.parent |> List.distinct
        let list = String.concat ", " (Printable.List folders)
        Error(DataError.create files.Place $"it contains several data sets: {list}" "Give the path of one of them")
    | (i, _) :: _ -> Ok i

let private transpose width height (greys: ReadOnlySpan<byte>) =
    let result = Array.zeroCreate<byte> greys.Length

    for y in 0 .. height - 1 do
        for x in 0 .. width - 1 do
            result[x * height + y] <- greys[y * width + x]

    result

/// EMNIST's files store each image column by column.
let private imageOf set width height (greys: ReadOnlySpan<byte>) =
    match set with
    | IdxSet.Emnist _ -> Image.ofGrey height width (ReadOnlySpan(transpose width height greys))
    | _ -> Image.ofGrey width height greys

/// The label of the first class. Those of EMNIST's letters count from 1.
let private firstLabel set =
    match set with
    | IdxSet.Emnist(Some EmnistSplit.Letters) -> 1
    | _ -> 0

let private otherClasses set count =
    match set with
    | IdxSet.Emnist _ -> $"{remedy set}. Check --emnist-split: this one has {count} classes"
    | _ ->
        $"{remedy set}. For other classes, choose --dataset emnist, or give one name for each class in a file with --class-names"

let private source set (classNames: string[]) file (images: Idx) (labels: Idx) : Result<ImageSource, DataError> =
    let count, height, width = images.Dimensions[0], images.Dimensions[1], images.Dimensions[2]
    let labelOf i = int labels.Bytes[labels.Start + i] - firstLabel set

    if count <> labels.Dimensions[0] then
        Error(DataError.create file $"{count} images but {labels.Dimensions[0]} labels" (remedy set))
    elif count = 0 || width = 0 || height = 0 then
        Error(DataError.create file $"{count} images of {width}×{height}" (remedy set))
    else
        match Seq.init count labelOf |> Seq.tryFindIndex (fun label -> label < 0 || label >= classNames.Length) with
        | Some i ->
            DataError.create
                $"{file} image {i}"
                $"its label is {labelOf i + firstLabel set}, but there are {classNames.Length} classes"
                (otherClasses set classNames.Length)
            |> Error
        | None ->
            let load i =
                let start = images.Start + i * width * height
                imageOf set width height (ReadOnlySpan(images.Bytes, start, width * height))

            Ok
                { Count = count
                  Label = labelOf
                  Name = fun i -> $"{file} image {i}"
                  Load = load >> Ok }

let private readSplit set classNames (files: FileSet) prefix =
    let idx name dimensions = find set files name |> Result.bind (fun i -> IdxFile.read files i dimensions)
    let imagesName = $"{prefix}-images-idx3-ubyte"

    match idx imagesName 3, idx $"{prefix}-labels-idx1-ubyte" 1 with
    | Ok images, Ok labels ->
        source set classNames $"{files.Place}/{imagesName}" images labels |> Result.mapError List.singleton
    | images, labels ->
        let errors =
            function
            | Error error -> [ error ]
            | Ok _ -> []

        Error(errors images @ errors labels)

/// The splits of EMNIST whose files are there.
let private present (files: FileSet) =
    let names = files.Files |> Array.map canonicalName |> Set.ofArray

    IdxSet.splits
    |> List.filter (fun split -> names.Contains $"emnist-{IdxSet.splitName split}-train-images-idx3-ubyte")

/// <summary>The data set with its split, and the beginnings of its files' names: (set, training, test).</summary>
let resolve set (files: FileSet) =
    match set, present files with
    | IdxSet.Emnist(Some split), found when List.contains split found ->
        Ok(set, $"emnist-{IdxSet.splitName split}-train", $"emnist-{IdxSet.splitName split}-test")
    | IdxSet.Emnist(Some split), (_ :: _ as found) ->
        let list = found |> List.map IdxSet.splitName |> String.concat ", "

        Error(
            DataError.create
                files.Place
                $"it has no files of the split {IdxSet.splitName split}"
                $"Choose --emnist-split {list}"
        )
    | IdxSet.Emnist None, [ split ] ->
        Ok(IdxSet.Emnist(Some split), $"emnist-{IdxSet.splitName split}-train", $"emnist-{IdxSet.splitName split}-test")
    | IdxSet.Emnist None, found ->
        let list =
            (if found.IsEmpty then IdxSet.splits else found) |> List.map IdxSet.splitName |> String.concat ", "

        let problem =
            if found.IsEmpty then
                "its file names state no split of EMNIST"
            else
                $"it has the splits {list}"

        Error(DataError.create files.Place problem $"Choose one with --emnist-split: {list}")
    | (IdxSet.Mnist | IdxSet.FashionMnist), (split :: _) when (candidates files "train-images-idx3-ubyte").Length = 0 ->
        Error(
            DataError.create
                files.Place
                $"it has files of EMNIST ({IdxSet.splitName split})"
                "Open it with --dataset emnist"
        )
    | _ -> Ok(set, "train", "t10k")

/// <summary>The data set, its classes, training and test images, from a folder or archive with the four files.</summary>
let read set (classNames: string[] option) (files: FileSet) =
    resolve set files
    |> Result.mapError List.singleton
    |> Result.bind (fun (set, train, test) ->
        let classNames = defaultArg classNames (IdxSet.classes set)

        DataError.both (readSplit set classNames files train) (readSplit set classNames files test)
        |> Result.map (fun splits -> set, classNames, splits))
