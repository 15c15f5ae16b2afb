namespace NormFree.Data

open System
open System.Collections.Generic
open NormFree.Formats
open NormFree.Data.SplitClasses

/// <summary>Image folders <c>split/class/*.jpg</c> in a folder, zip or tar.</summary>
/// <remarks>
/// The splits are a folder such as <c>train</c> or <c>Training</c>, and next to it the first labelled one of <c>test</c> and <c>val</c> and their
/// variants. They may be inside another folder. Classes are the folders' names in ordinal order; images may be in subfolders of a class. Both
/// splits must have the same classes.
/// </remarks>
module ImageFolder =

    let defaults =
        { TrainSplit = None
          TestSplit = None
          TestOptional = false
          AllowLeftOut = false
          RequireReadable = true }

    /// Links that replace a split or a class folder: next to or inside the existing splits, or anywhere if there are none.
    let private linkedFolders (tree: FolderTree) =
        let roots = SplitFolders.roots tree |> HashSet

        let isSplit path =
            (SplitName.roleOf (FileSet.fileName path)).IsSome
            && (roots.Count = 0 || roots.Contains(FileSet.parent path))

        tree.Set.Links
        |> Array.filter (fun path ->
            not (ImageKind.isSupported path) && (isSplit path || isSplit (FileSet.parent path)))

    /// Errors for links that hide images.
    let private linkErrors (tree: FolderTree) =
        let set = tree.Set
        let paths = if Array.isEmpty set.Links then [||] else linkedFolders tree

        [ for path in Array.truncate Printable.MaxListed paths do
              Listing.link (Printable.Text $"{set.Place}/{path}")
          if paths.Length > Printable.MaxListed then
              Listing.moreLinks set.Place (paths.Length - Printable.MaxListed) ]

    /// Names by themselves, in any case.
    let private ignoringCase names =
        let known = Dictionary<string, string> StringComparer.OrdinalIgnoreCase

        for name: string in names do
            known[name] <- name

        known

    /// Errors for pairs of a class of the training split and one of the test split whose names differ only in case.
    let private renamedErrors (set: FileSet) train test (pairs: (string * string)[]) =
        [ for here, there in Array.truncate Printable.MaxListed pairs do
              DataError.create
                  set.Place
                  $"the class '{Printable.Text here}' of '{train.Folder}' is '{Printable.Text there}' in '{test.Folder}': their names differ only in case"
                  "Rename one of the folders"
          if pairs.Length > Printable.MaxListed then
              DataError.create
                  set.Place
                  $"{pairs.Length - Printable.MaxListed} more classes of '{train.Folder}' and '{test.Folder}' have names that differ only in case"
                  "Rename one of the folders of each" ]

    /// The error for classes of a split that the other one lacks.
    let private lackErrors (set: FileSet) here there (classes: string[]) =
        [ if classes.Length > 0 then
              let list = String.concat ", " (Printable.List classes)

              DataError.create
                  set.Place
                  $"'{there.Folder}' lacks classes of '{here.Folder}': {list}"
                  $"Both splits must have the same class folders: add them to '{there.Folder}', or remove them from '{here.Folder}'" ]

    let private difference (set: FileSet) train test =
        let only here there =
            [| for name in here.Classes.Keys do
                   if not (there.Classes.ContainsKey name) then
                       name |]

        let onlyTrain, onlyTest = only train test, only test train
        let inTrain, inTest = ignoringCase onlyTrain, ignoringCase onlyTest
        let renamed, lackedByTest = onlyTrain |> Array.partition inTest.ContainsKey
        let lackedByTrain = onlyTest |> Array.filter (inTrain.ContainsKey >> not)

        renamedErrors set train test [| for name in renamed -> name, inTest[name] |]
        @ (if test.HasLabelFile then [] else lackErrors set train test lackedByTest)
        @ lackErrors set test train lackedByTrain

    /// A split's images with the labels of the training classes.
    let private source (set: FileSet) (classes: string[]) split : (int -> int) * ImageSource =
        let labelled =
            [| for label, name in Array.indexed classes do
                   for file in split.Classes.TryFind name |> Option.defaultValue [||] do
                       struct (label, file) |]

        let file i =
            let struct (_, file) = labelled[i]
            file

        file,
        { Count = labelled.Length
          Label =
            fun i ->
                let struct (label, _) = labelled[i]
                label
          Name = fun i -> Printable.Text $"{set.Place}/{set.Files[file i]}"
          Load =
            fun i ->
                set.Read(file i)
                |> Result.mapError (fun error -> $"{error.Problem}. {error.Remedy}")
                |> Result.bind Decode.image }

    /// The first labelled test split, and the others.
    let private chooseTest train (tests: Split list) =
        match tests |> List.tryFindIndex (isLabelled train) with
        | Some i -> Some tests[i], List.removeAt i tests
        | None -> None, tests

    /// Images of splits that are not used, in hidden folders, and elsewhere.
    let private unused (tree: FolderTree) train (test: Split option) (others: Split list) =
        let set = tree.Set
        let isImage i = ImageKind.isSupported set.Files[i] || ImageKind.isUnsupported set.Files[i]
        let paths = Seq.map (fun i -> set.Files[i])
        let folders = [ for split in train :: Option.toList test @ others -> split.Folder ]
        let known = folders |> Seq.collect tree.FilesBelow |> HashSet

        let hidden, outside =
            [ for i in 0 .. set.Files.Length - 1 do
                  if isImage i && not (known.Contains i) && not (SplitName.isAttributeFile set.Files[i]) then
                      i ]
            |> List.partition (fun i -> SplitName.isHidden set.Files[i])

        [ for other in others do
              let reason =
                  if isLabelled train other then
                      $"the split '{other.Folder}' is not used"
                  else
                      $"'{other.Folder}' has no folders of the classes"

              yield! tree.FilesBelow other.Folder |> Seq.filter isImage |> paths |> LeftOut.create reason ""
          yield! LeftOut.create "hidden files and folders are not read" "" (paths hidden)
          yield! LeftOut.create "the image is in neither of the splits" "" (paths outside) ]

    let private noTest (set: FileSet) (others: Split list) =
        match others with
        | [] -> SplitFolders.missingTest set
        | other :: _ ->
            let problem = $"the images of '{other.Folder}' are not in folders of the training classes"

            DataError.create
                $"{set.Place}/{other.Folder}"
                problem
                "Move them into such folders (for ImageNet, add Kaggle's LOC_val_solution.csv), train with --held-out 0.1, or evaluate on the \
                 training images with --test-split NAME"

    let private noClasses (set: FileSet) (train: Split) =
        DataError.create
            (if train.Folder = "" then set.Place else $"{set.Place}/{train.Folder}")
            "the training images are in no class folders"
            "Move each image into a folder with the name of its class, such as train/cat/"

    let private check (tree: FolderTree) options train test =
        problems tree options.AllowLeftOut train
        @ (match test with
           | Some test -> problems tree options.AllowLeftOut test @ difference tree.Set train test
           | None -> [])

    let private build (tree: FolderTree) options isFlat train (tests: Split list) =
        let test, others = chooseTest train tests

        let errors =
            if train.Classes.IsEmpty then [ noClasses tree.Set train ]
            elif test.IsNone && not options.TestOptional then [ noTest tree.Set others ]
            else check tree options train test

        if errors.IsEmpty then
            let classes = Array.ofSeq train.Classes.Keys
            let fileOf, images = source tree.Set classes train
            let size i = tree.Set.Read(fileOf i) |> Result.mapError _.Problem |> Result.bind Decode.size

            Ok
                { Classes = classes
                  Train = images
                  Test = test |> Option.map (source tree.Set classes >> snd)
                  Size = size
                  LeftOut =
                    train.LeftOut
                    @ (test |> Option.map _.LeftOut |> Option.defaultValue [])
                    @ unused tree train test others
                  IsFlat = isFlat && test.IsNone }
        else
            Error errors

    /// <summary>The images of a set of files.</summary>
    let read options (set: FileSet) : Result<FolderImages, DataError list> =
        let tree = FolderTree set

        match linkErrors tree with
        | [] ->
            SplitFolders.find tree options.TrainSplit options.TestSplit
            |> Result.mapError List.singleton
            |> Result.bind (fun splits ->
                // A data set whose own name is that of a training split is one.
                let isTrain = SplitName.roleOf (Archive.nameOf set.Place) = Some SplitName.Training
                let isFlat = options.TrainSplit.IsNone && splits.Train = "" && not isTrain

                SplitClasses.read tree (splits.Train :: splits.Tests)
                |> Result.bind (fun splits -> build tree options isFlat splits.Head splits.Tail))
        | errors -> Error errors

    /// Files that a compressed archive has to keep.
    let internal isWanted (path: string) =
        not (SplitName.isHidden path) && (ImageKind.isSupported path || LabelFile.isLabelFile path)

    /// A set whose images are inside tars in it.
    let private readNested limits options path errors (set: FileSet) =
        if Seq.exists NestedTar.isTar set.Files && not (Archive.isCompressed path) then
            Archive.openNested limits path |> Result.mapError List.singleton |> Result.bind (read options)
        else
            Error errors

    /// <summary>The images of the folder or archive at this path.</summary>
    let openPath limits options path : Result<FolderImages, DataError list> =
        Archive.openWith limits isWanted path
        |> Result.mapError List.singleton
        |> Result.bind (fun set ->
            match read options set with
            | Ok images -> Ok images
            | Error errors -> readNested limits options path errors set)

    /// <summary>Classes, training images and test images of the folder or archive at this path.</summary>
    let openWith limits path =
        openPath limits defaults path
        |> Result.map (fun images -> images.Classes, images.Train, images.Test.Value)
