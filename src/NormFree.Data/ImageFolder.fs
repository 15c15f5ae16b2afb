/// <summary>Images in folders, <c>split/class/*.jpg|jpeg|png</c>, in a folder, a zip or a tar.</summary>
/// <remarks>
/// The splits are <c>train</c> and one of <c>test</c>, <c>val</c>, <c>validation</c> (the first of these that is
/// there). They may lie in a folder of their own. Classes are the names of the folders in ordinal order, and the same
/// in both splits.
/// </remarks>
module NormFree.Data.ImageFolder

open System

let private extensions = [ ".jpg"; ".jpeg"; ".png" ]

let private isImage (path: string) =
    let name = FileSet.fileName path

    // Archives made on a Mac hold a shadow '._name' of each file.
    not (name.StartsWith "._")
    && extensions |> List.exists (fun suffix -> name.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

let private trainName = "train"
let private testNames = [ "test"; "val"; "validation" ]

/// One split: the class folders by name, each with the places of its images.
type private Split = { Folder: string; Classes: Map<string, int[]> }

let private parent (path: string) = path.Substring(0, max 0 (path.LastIndexOf '/'))

/// The class that a folder holds images of, if its parent is this split.
let private classOf split folder = if parent folder = split then Some(FileSet.fileName folder) else None

/// The folders, of whatever depth, that have one of these names and images in their folders.
let private splitFolders (set: FileSet) names =
    set.Files
    |> Seq.filter isImage
    |> Seq.map (parent >> parent)
    |> Seq.distinct
    |> Seq.filter (fun folder -> List.contains (FileSet.fileName folder) names && not (folder.StartsWith "__MACOSX"))
    |> List.ofSeq

let private readSplit (set: FileSet) folder =
    let empty = set.Folders |> Array.choose (classOf folder) |> Array.map (fun label -> label, [||])

    let filled =
        set.Files
        |> Array.indexed
        |> Array.filter (fun (_, path) -> isImage path)
        |> Array.choose (fun (i, path) -> classOf folder (parent path) |> Option.map (fun label -> label, i))
        |> Array.groupBy fst
        |> Array.map (fun (label, members) -> label, Array.map snd members)

    let sorted = Array.sortWith (fun i j -> String.CompareOrdinal(set.Files[i], set.Files[j]))

    { Folder = folder
      Classes = Array.append empty filled |> Map.ofArray |> Map.map (fun _ places -> sorted places) }

/// Names that a message lists.
[<Literal>]
let private shownAtMost = 10

/// A name from an archive as a terminal may show it.
let private printable (name: string) = name |> String.map (fun c -> if Char.IsControl c then '?' else c)

/// Links in the place of a split or of a class: beside or in the splits that are there, or anywhere where none is.
let private misplaced (set: FileSet) =
    let names = trainName :: testNames
    let roots = splitFolders set names |> List.map parent

    let isSplit path =
        List.contains (FileSet.fileName path) names && (roots.IsEmpty || List.contains (parent path) roots)

    set.Links
    |> Array.filter (fun path -> not (isImage path) && (isSplit path || isSplit (parent path)))

/// What is wrong with links whose images would be missed.
let private linked (set: FileSet) =
    let paths = if Array.isEmpty set.Links then [||] else misplaced set

    [ for path in Array.truncate shownAtMost paths do
          Listing.link (printable $"{set.Place}/{path}")
      if paths.Length > shownAtMost then
          Listing.moreLinks set.Place (paths.Length - shownAtMost) ]

let private missing (set: FileSet) names =
    let names = String.Join(" or ", names |> List.map (fun name -> $"'{name}/<class>/'"))

    DataError.create
        set.Place
        $"there are no images (.jpg, .jpeg, .png) under {names}"
        "An image data set has the folders train/<class>/ and test/<class>/ (or val/, validation/)"

let private emptyClasses (set: FileSet) split =
    [ for KeyValue(name, places) in split.Classes do
          if Array.isEmpty places then
              DataError.create
                  $"{set.Place}/{split.Folder}/{name}"
                  "the class has no images (.jpg, .jpeg, .png)"
                  "Add some, or remove the folder from both splits" ]

let private difference (set: FileSet) train test =
    let names split = split.Classes |> Map.keys |> Set.ofSeq

    let only here there =
        let extra = Set.difference (names here) (names there)

        if extra.IsEmpty then
            []
        else
            let list = String.Join(", ", extra |> Seq.truncate shownAtMost |> Seq.map printable)

            let more =
                if extra.Count > shownAtMost then
                    $" and {extra.Count - shownAtMost} more"
                else
                    ""

            [ DataError.create
                  set.Place
                  $"classes in '{here.Folder}' that '{there.Folder}' lacks: {list}{more}"
                  $"Both splits need the same class folders: add them to '{there.Folder}', or remove them from '{here.Folder}'" ]

    only train test @ only test train

let private source (set: FileSet) split : ImageSource =
    let labelled =
        // Map's order of strings is ordinal.
        split.Classes.Values
        |> Seq.indexed
        |> Seq.collect (fun (label, places) -> places |> Seq.map (fun place -> struct (label, place)))
        |> Array.ofSeq

    let place i =
        let struct (_, place) = labelled[i]
        place

    { Count = labelled.Length
      Label =
        fun i ->
            let struct (label, _) = labelled[i]
            label
      Name = fun i -> printable $"{set.Place}/{set.Files[place i]}"
      Load =
        fun i ->
            set.Read(place i)
            |> Result.mapError (fun error -> $"{error.Problem}. {error.WayOut}")
            |> Result.bind Decode.image }

/// The split of the first of these names that is there, but not where it is there twice: two data sets must not be
/// mixed.
let private findSplit (set: FileSet) names =
    match names |> List.map (List.singleton >> splitFolders set) |> List.tryFind (List.isEmpty >> not) with
    | None -> Error(missing set names)
    | Some [ folder ] -> Ok(readSplit set folder)
    | Some folders ->
        let list = String.Join(", ", folders)
        Error(DataError.create set.Place $"there are several data sets in it: {list}" "Name the folder of one of them")

let private check (set: FileSet) train test =
    match emptyClasses set train @ emptyClasses set test @ difference set train test with
    | [] -> Ok(Array.ofSeq train.Classes.Keys, source set train, source set test)
    | errors -> Error errors

/// <summary>Classes, training images and test images of the folder or archive at this path.</summary>
let openWith limits path =
    let read (set: FileSet) =
        match DataError.collect [ findSplit set [ trainName ]; findSplit set testNames ] with
        | Ok [ train; test ] -> check set train test
        | Ok _ -> invalidOp "Two splits were asked for."
        | Error errors -> Error errors

    let whole set =
        match linked set with
        | [] -> Ok set
        | errors -> Error errors

    Archive.openWith limits isImage path
    |> Result.mapError List.singleton
    |> Result.bind whole
    |> Result.bind read
