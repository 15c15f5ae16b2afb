/// <summary>Image folders <c>split/class/*.jpg|jpeg|png</c> in a folder, zip or tar.</summary>
/// <remarks>
/// The splits are <c>train</c> and the first of <c>test</c>, <c>val</c>, <c>validation</c> that exists. They may be inside another folder.
/// Classes are the folders' names in ordinal order. Both splits must have the same classes.
/// </remarks>
module NormFree.Data.ImageFolder

open System

let private extensions = [ ".jpg"; ".jpeg"; ".png" ]

let private isImage (path: string) =
    let name = FileSet.fileName path

    // macOS adds a '._name' to an archive for each file.
    not (name.StartsWith "._")
    && extensions |> List.exists (fun suffix -> name.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

let private trainName = "train"
let private testNames = [ "test"; "val"; "validation" ]

/// One split: the class folders with the indices of their images.
type private Split = { Folder: string; Classes: Map<string, int[]> }

let private parent (path: string) = path.Substring(0, max 0 (path.LastIndexOf '/'))

/// The class of a folder, if its parent is this split.
let private classOf split folder = if parent folder = split then Some(FileSet.fileName folder) else None

/// The folders at any depth that have one of these names and contain folders with images.
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
      Classes = Array.append empty filled |> Map.ofArray |> Map.map (fun _ images -> sorted images) }

/// Names listed in a message.
[<Literal>]
let private maxListed = 10

/// A name from an archive, safe for a terminal.
let private printable (name: string) = name |> String.map (fun c -> if Char.IsControl c then '?' else c)

/// Links that replace a split or a class folder: next to or inside the existing splits, or anywhere if there are none.
let private linkedFolders (set: FileSet) =
    let names = trainName :: testNames
    let roots = splitFolders set names |> List.map parent

    let isSplit path =
        List.contains (FileSet.fileName path) names && (roots.IsEmpty || List.contains (parent path) roots)

    set.Links
    |> Array.filter (fun path -> not (isImage path) && (isSplit path || isSplit (parent path)))

/// Errors for links that hide images.
let private linkErrors (set: FileSet) =
    let paths = if Array.isEmpty set.Links then [||] else linkedFolders set

    [ for path in Array.truncate maxListed paths do
          Listing.link (printable $"{set.Place}/{path}")
      if paths.Length > maxListed then
          Listing.moreLinks set.Place (paths.Length - maxListed) ]

let private missing (set: FileSet) names =
    let names = String.Join(" or ", names |> List.map (fun name -> $"'{name}/<class>/'"))

    DataError.create
        set.Place
        $"there are no images (.jpg, .jpeg, .png) under {names}"
        "Provide the folders train/<class>/ and test/<class>/ (or val/, validation/)"

let private emptyClasses (set: FileSet) split =
    [ for KeyValue(name, images) in split.Classes do
          if Array.isEmpty images then
              DataError.create
                  $"{set.Place}/{split.Folder}/{name}"
                  "the class has no images (.jpg, .jpeg, .png)"
                  "Add images, or remove the folder from both splits" ]

let private difference (set: FileSet) train test =
    let names split = split.Classes |> Map.keys |> Set.ofSeq

    let only here there =
        let extra = Set.difference (names here) (names there)

        if extra.IsEmpty then
            []
        else
            let list = String.Join(", ", extra |> Seq.truncate maxListed |> Seq.map printable)

            let more = if extra.Count > maxListed then $" and {extra.Count - maxListed} more" else ""

            [ DataError.create
                  set.Place
                  $"'{there.Folder}' lacks classes of '{here.Folder}': {list}{more}"
                  $"Both splits must have the same class folders: add them to '{there.Folder}', or remove them from '{here.Folder}'" ]

    only train test @ only test train

let private source (set: FileSet) split : ImageSource =
    let labelled =
        // Maps order strings ordinally.
        split.Classes.Values
        |> Seq.indexed
        |> Seq.collect (fun (label, files) -> files |> Seq.map (fun file -> struct (label, file)))
        |> Array.ofSeq

    let file i =
        let struct (_, file) = labelled[i]
        file

    { Count = labelled.Length
      Label =
        fun i ->
            let struct (label, _) = labelled[i]
            label
      Name = fun i -> printable $"{set.Place}/{set.Files[file i]}"
      Load =
        fun i ->
            set.Read(file i)
            |> Result.mapError (fun error -> $"{error.Problem}. {error.Remedy}")
            |> Result.bind Decode.image }

/// The split with the first of these names that exists. Error if it exists twice: two data sets must not be mixed.
let private findSplit (set: FileSet) names =
    match names |> List.map (List.singleton >> splitFolders set) |> List.tryFind (List.isEmpty >> not) with
    | None -> Error(missing set names)
    | Some [ folder ] -> Ok(readSplit set folder)
    | Some folders ->
        let list = String.Join(", ", folders)
        Error(DataError.create set.Place $"it contains several data sets: {list}" "Give the path of one of them")

let private check (set: FileSet) train test =
    match emptyClasses set train @ emptyClasses set test @ difference set train test with
    | [] -> Ok(Array.ofSeq train.Classes.Keys, source set train, source set test)
    | errors -> Error errors

/// <summary>Classes, training images and test images of the folder or archive at this path.</summary>
let openWith limits path =
    let read (set: FileSet) =
        match DataError.collect [ findSplit set [ trainName ]; findSplit set testNames ] with
        | Ok [ train; test ] -> check set train test
        | Ok _ -> invalidOp "Expected two splits."
        | Error errors -> Error errors

    let withoutLinks set =
        match linkErrors set with
        | [] -> Ok set
        | errors -> Error errors

    Archive.openWith limits isImage path
    |> Result.mapError List.singleton
    |> Result.bind withoutLinks
    |> Result.bind read
