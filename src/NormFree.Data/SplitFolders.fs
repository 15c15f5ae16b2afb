/// <summary>Finds the folders of training and test images in a data set, by their names or as the user names them.</summary>
module internal NormFree.Data.SplitFolders

open System
open NormFree.Formats
open NormFree.Data.SplitName

/// The folder of the training images, and those that may be the test images, best first.
type Splits = { Train: string; Tests: string list }

let private nameOf (set: FileSet) folder = if folder = "" then Archive.nameOf set.Place else FileSet.fileName folder

let private quoted (folders: string list) = String.concat ", " (Printable.List(List.toArray folders))

let private isSplit roles folder =
    roleOf (FileSet.fileName folder) |> Option.exists (fun role -> List.contains role roles)

/// The folders with images in a folder that have one of these roles, best first.
let private splitsIn (tree: FolderTree) roles folder =
    tree.ImageFolders folder
    |> List.filter (isSplit roles)
    |> List.sortBy (fun split ->
        let name = FileSet.fileName split
        List.findIndex (fun role -> roleOf name = Some role) roles, rank name)

/// The folders of the first level that has a match, from the root down.
let rec private firstLevel (tree: FolderTree) (choose: string -> bool) (level: string list) =
    match List.filter choose level with
    | [] when level.IsEmpty -> []
    | [] -> firstLevel tree choose (List.collect tree.ImageFolders level)
    | found -> found

/// The folders that contain splits with these roles.
let private rootsOf tree roles = firstLevel tree (fun folder -> not (splitsIn tree roles folder).IsEmpty) [ "" ]

/// The folders that contain the splits. Links outside of them do not matter.
let roots tree =
    match rootsOf tree [ Training ] with
    | [] -> rootsOf tree [ Testing; Validation ]
    | found -> found

/// Files that hide images, by the ends of their names, and the remedy. Tars are read in place.
let private containers =
    [ [ ".zip"; ".tar"; ".gz"; ".tgz"; ".bz2"; ".tbz"; ".xz"; ".txz"; ".zst"; ".7z"; ".rar" ],
      "archives, which are not read inside it",
      "Unpack them"
      [ ".parquet" ], "Parquet files, which are read from folders only", "Unpack the archive, and give the folder"
      [ ".arrow" ],
      "Arrow files, which are not read",
      "Export them to Parquet with to_parquet() of the library datasets" ]

/// What hides the images of a set without images.
let private hidden (set: FileSet) =
    let visible = set.Files |> Array.filter (isHidden >> not)

    if Array.exists ImageKind.isSupported visible then
        None
    else
        containers
        |> List.tryPick (fun (ends, what, remedy) ->
            let isContainer (path: string) =
                ends |> List.exists (fun suffix -> path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

            match Array.filter isContainer visible with
            | [||] -> None
            | found ->
                let list = String.concat ", " (Printable.List found)
                Some(DataError.create set.Place $"it has no images, but {what}: {list}" remedy))

let private noImages (set: FileSet) names =
    let names = String.Join(" or ", names |> List.map (fun name -> $"'{name}/<class>/'"))
    let extensions = String.Join(", ", ImageKind.extensions)

    DataError.create
        set.Place
        $"there are no images ({extensions}) under {names}"
        "Provide the folders train/<class>/ and test/<class>/ (or val/, validation/), or name yours with --train-split and --test-split. Without test \
         images, train with --held-out 0.1, or evaluate on the training images with --test-split NAME; '--train-split .' or '--test-split .' takes the subfolders of the data set as classes"

let missing (set: FileSet) names = hidden set |> Option.defaultWith (fun () -> noImages set names)

let missingTest set = missing set [ "test"; "val"; "validation" ]

let private several (set: FileSet) folders =
    DataError.create set.Place $"it contains several data sets: {quoted folders}" "Give the path of one of them"

/// The folder with this path or name; '.' is the root.
let private named (tree: FolderTree) option' (name: string) =
    let wanted = name.Trim('/').Replace('\\', '/')
    let isNamed (folder: string) = folder = wanted || folder.EndsWith("/" + wanted, StringComparison.Ordinal)

    match (if wanted = "." || wanted = "" then [ "" ] else firstLevel tree isNamed [ "" ]) with
    | [ folder ] when tree.HasImages folder -> Ok folder
    | []
    | [ _ ] ->
        let known = quoted (tree.ImageFolders "")
        let problem = $"{option'} {name}: there is no such folder with images"
        Error(DataError.create tree.Set.Place problem $"Name one of the folders: {known}")
    | folders ->
        Error(DataError.create tree.Set.Place $"{option'} {name} could be {quoted folders}" "Give its whole path")

/// <summary>The folder that contains a split's classes: the split itself, or the only folder in it that has folders with images.</summary>
let rec classRoot (tree: FolderTree) split =
    match tree.ImageFolders split with
    | [ inner ] when (tree.Images split).Length = 0 && (tree.Images inner).Length = 0 ->
        let classes = (tree.ImageFolders inner).Length
        let hasRole = (roleOf (FileSet.fileName inner)).IsSome

        if classes > 1 || (classes = 1 && hasRole) then classRoot tree inner else split
    | _ -> split

/// Whether the data set consists of class folders, without splits.
let private isFlat (tree: FolderTree) =
    let folders = tree.ImageFolders(classRoot tree "")

    folders.Length > 1
    && (rootsOf tree [ Training; Testing; Validation ]).IsEmpty
    && folders |> List.forall (fun folder -> (tree.ImageFolders folder).IsEmpty)

/// The training split by its role. A data set without splits is one itself: if its name says so, or if it consists of class folders.
let private findTrain (tree: FolderTree) =
    match rootsOf tree [ Training ] with
    | [] when roleOf (nameOf tree.Set "") = Some Training && not (tree.ImageFolders "").IsEmpty -> Ok ""
    | [] when isFlat tree -> Ok ""
    | [] -> Error(missing tree.Set [ "train" ])
    | [ root ] -> Ok(List.head (splitsIn tree [ Training ] root))
    | roots -> Error(several tree.Set (roots |> List.collect (splitsIn tree [ Training; Testing; Validation ])))

/// <summary>The splits by the names of folders, or by the names that the user gives.</summary>
let find (tree: FolderTree) (trainName: string option) (testName: string option) : Result<Splits, DataError> =
    let train =
        match trainName with
        | Some name -> named tree "--train-split" name
        | None -> findTrain tree

    train
    |> Result.bind (fun train ->
        match testName with
        | Some name -> named tree "--test-split" name |> Result.map (fun test -> { Train = train; Tests = [ test ] })
        | None ->
            let tests =
                if train = "" then
                    []
                else
                    splitsIn tree [ Testing; Validation ] (FileSet.parent train)

            Ok { Train = train; Tests = List.except [ train ] tests })
