/// <summary>The names that people give to the folders and files of training and test images.</summary>
module internal NormFree.Data.SplitName

open System
open System.Text.RegularExpressions

/// What the images of a split are for.
type Role =
    | Training
    | Testing
    | Validation

/// Words that say nothing about the role: <c>seg_train</c>, <c>training_set</c>, <c>ILSVRC2012_img_val</c>, <c>train2017</c>.
let private fillers =
    set
        [ "set"
          "data"
          "dataset"
          "images"
          "image"
          "imgs"
          "img"
          "seg"
          "split"
          "ilsvrc2012"
          "ilsvrc"
          "final"
          "folder" ]

let private names =
    [ Training, [ "train"; "training"; "trainset" ]
      Testing, [ "test"; "testing"; "tests"; "testset" ]
      Validation, [ "val"; "valid"; "validation"; "valset"; "dev" ] ]

let private wordsOf (name: string) =
    Regex.Split(name.ToLowerInvariant(), "[^a-z0-9]+")
    |> Array.map (fun word -> if fillers.Contains word then "" else word.TrimEnd([| '0' .. '9' |]))
    |> Array.filter ((<>) "")

/// The role of a folder with this name, if it is the name of a split.
let roleOf (name: string) =
    match wordsOf name with
    | [| word |] -> names |> List.tryFind (fun (_, words) -> List.contains word words) |> Option.map fst
    | _ -> None

/// Plain names come before decorated ones: <c>train</c> before <c>train_images</c>.
let rank (name: string) =
    let lower = name.ToLowerInvariant()
    let all = List.collect snd names
    List.tryFindIndex ((=) lower) all |> Option.defaultValue all.Length

/// Names of folders and files that programs add: macOS, Windows, Jupyter, Synology, version control.
let private system =
    set [ "__macosx"; "@eadir"; "#recycle"; "$recycle.bin"; "lost+found"; "system volume information" ]

let private isHiddenName (name: string) = name.StartsWith '.' || system.Contains(name.ToLowerInvariant())

/// Whether a file or one of its folders is hidden or belongs to a program.
let isHidden (path: string) = path.Split '/' |> Array.exists isHiddenName

/// Whether macOS keeps the attributes of another file in this one: <c>._name</c>.
let isAttributeFile (path: string) = (FileSet.fileName path).StartsWith "._"

/// Files that programs leave in folders and nobody misses: <c>.DS_Store</c>, <c>._name</c>, <c>Thumbs.db</c>.
let isSystemFile (path: string) =
    let name = FileSet.fileName path

    name.StartsWith '.'
    || [ "thumbs.db"; "desktop.ini"; "icon\r" ] |> List.contains (name.ToLowerInvariant())
