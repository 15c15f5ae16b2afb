/// <summary>Images in folders, <c>split/class/*.jpg|jpeg|png</c>, in a folder, a zip or a tar.</summary>
/// <remarks>
/// The splits are <c>train</c> and one of <c>test</c>, <c>val</c>, <c>validation</c> (the first of these that is there). They may lie
/// in a folder of their own. Classes are the names of the folders in ordinal order, and the same in both splits.
/// </remarks>
module NormFree.Data.ImageFolder

open System

let private extensions = [ ".jpg"; ".jpeg"; ".png" ]

let private isImage (path: string) =
    let name = FileSet.fileName path

    // Archives made on a Mac hold a shadow '._name' of each file.
    not (name.StartsWith "._")
    && extensions |> List.exists (fun suffix -> name.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

let private testNames = [ "test"; "val"; "validation" ]

/// One split: the class folders by name, each with the places of its images.
type private Split =
    { Folder: string
      Classes: Map<string, int[]> }

/// Adds what a path tells: its split, its class, and the place of its file if it is one.
let private parse split (path: string) =
    match path.Split '/' |> Array.rev |> List.ofArray with
    | label :: name :: prefix when name = split && not (List.contains "__MACOSX" prefix) -> Some label
    | _ -> None

let private findSplit (set: FileSet) name =
    let folderOf (path: string) = path.Substring(0, max 0 (path.LastIndexOf '/'))
    let empty = set.Folders |> Array.choose (parse name) |> Array.map (fun label -> label, [||])

    let filled =
        set.Files
        |> Array.indexed
        |> Array.filter (fun (_, path) -> isImage path)
        |> Array.choose (fun (i, path) -> parse name (folderOf path) |> Option.map (fun label -> label, i))
        |> Array.groupBy fst
        |> Array.map (fun (label, members) -> label, Array.map snd members)

    let sorted = Array.sortWith (fun i j -> String.CompareOrdinal(set.Files[i], set.Files[j]))

    if filled.Length = 0 then
        None
    else
        let classes = Array.append empty filled |> Map.ofArray |> Map.map (fun _ places -> sorted places)
        Some { Folder = name; Classes = classes }

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
        let extra = Set.difference (names here) (names there) |> Seq.truncate 10 |> List.ofSeq

        if extra.IsEmpty then
            []
        else
            [ DataError.create
                  set.Place
                  $"""classes in '{here.Folder}' that '{there.Folder}' lacks: {String.Join(", ", extra)}"""
                  "Both splits need the same class folders" ]

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
      Name = fun i -> $"{set.Place}/{set.Files[place i]}"
      Load =
        fun i ->
            set.Read(place i)
            |> Result.mapError (fun error -> $"{error.Problem}. {error.WayOut}")
            |> Result.bind Decode.image }

/// <summary>Classes, training images and test images of the folder or archive at this path.</summary>
let openWith limits path =
    let read (set: FileSet) =
        match findSplit set "train", List.tryPick (findSplit set) testNames with
        | Some train, Some test ->
            match emptyClasses set train @ emptyClasses set test @ difference set train test with
            | [] -> Ok(Array.ofSeq train.Classes.Keys, source set train, source set test)
            | errors -> Error errors
        | train, test ->
            Error
                [ if train.IsNone then missing set [ "train" ]
                  if test.IsNone then missing set testNames ]

    FileSet.openWith limits isImage path |> Result.mapError List.singleton |> Result.bind read
