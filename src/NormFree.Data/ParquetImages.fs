/// <summary>Image data sets in Parquet files as on the Hugging Face hub: <c>data/train-00000-of-00002.parquet</c> or <c>train/0000.parquet</c>.</summary>
/// <remarks>Parquet files have no random access to images, so the encoded images of all files are kept in memory, up to 4 GiB.</remarks>
module internal NormFree.Data.ParquetImages

open System
open System.Collections.Generic
open System.IO
open NormFree.Formats
open NormFree.Data.ParquetSplits
open NormFree.Data.ParquetTable

/// Classes without names are numbers below this.
[<Literal>]
let private MaxNumbers = 100_000L

/// A file as a set of one.
let private single (path: string) : FileSet =
    { Place = Path.GetDirectoryName(Path.GetFullPath path) |> string
      Files = [| Path.GetFileName path |> string |]
      Folders = [||]
      Links = [||]
      Read =
        fun _ -> DataError.guard path (fun () -> Ok(PlainFile.ReadAllBytes(path, FileSet.defaultLimits.EntryBytes))) }

let private visibleImages (set: FileSet) =
    set.Files |> Array.filter (fun path -> ImageKind.isSupported path && not (SplitName.isHidden path))

/// Whether an image is in a folder of training images.
let private isInTraining (path: string) =
    (FileSet.parent path).Split '/'
    |> Array.exists (fun folder -> SplitName.roleOf folder = Some SplitName.Training)

/// Whether the Parquet files are the data set: there are no images, or only some beside them, such as a preview.
let private isOfParquet (set: FileSet) =
    match listed set, visibleImages set with
    | [], _ -> false
    | _, [||] -> true
    | files, images ->
        files |> List.exists (fun file -> SplitName.roleOf file.Split = Some SplitName.Training)
        && not (Array.exists isInTraining images)

/// Whether a path is a Parquet file, or a folder whose images are in Parquet files.
let isParquet path =
    if File.Exists path then
        ReadOnlySpan(Content.headOf path).StartsWith(ReadOnlySpan "PAR1"B)
    elif Directory.Exists path then
        match Archive.openWith FileSet.defaultLimits (fun _ -> true) path with
        | Ok set -> isOfParquet set
        | Error _ -> false
    else
        false

let private fullPath (set: FileSet) (file: ParquetSplits.File) = Path.Combine(set.Place, file.Path)

let private bytesOf (table: Table) = table.Images |> Array.sumBy _.LongLength

/// The tables of files, within the limit on their total.
let private tables limit labels (set: FileSet) (files: ParquetSplits.File list) =
    ((Ok(limit, [])), files)
    ||> List.fold (fun state file ->
        state
        |> Result.bind (fun (left, before) ->
            openFile (fullPath set file) labels left
            |> Result.map (fun table -> left - bytesOf table, (file.Path, table) :: before)))
    |> Result.map (fun (left, tables) -> left, List.rev tables)

/// The first split that has labels, and the files of those before it.
let private chooseTest labels (set: FileSet) (tests: ParquetSplits.File list list) =
    let rec search before rest =
        match rest with
        | [] -> Ok(None, List.concat (List.rev before))
        | (split: ParquetSplits.File list) :: others ->
            split
            |> List.map (fun file -> isLabelled (fullPath set file) labels)
            |> DataError.collect
            |> Result.bind (fun found ->
                if List.contains true found then
                    Ok(Some split, List.concat (List.rev before))
                else
                    search (split :: before) others)

    search [] tests

/// The names in the labels of tables; numbers have none.
let private namesIn (tables: (string * Table) list) =
    tables
    |> Seq.collect (fun (_, table) ->
        match table.Labels with
        | Names names -> names |> Array.filter (fun name -> not (isNull (box name)))
        | Numbers _ -> [||])
    |> Seq.distinct
    |> Seq.sortWith (fun a b -> String.CompareOrdinal(a, b))
    |> Array.ofSeq

let private numbersIn (tables: (string * Table) list) =
    tables
    |> Seq.collect (fun (_, table) ->
        match table.Labels with
        | Numbers labels -> labels
        | Names _ -> [||])

let private haveNames (tables: (string * Table) list) =
    tables
    |> List.map (fun (_, table) ->
        match table.Labels with
        | Names _ -> true
        | Numbers _ -> false)
    |> List.distinct

let private ofNames (set: FileSet) train test =
    let classes = namesIn train

    match namesIn test |> Array.except classes with
    | [||] -> Ok classes
    | others ->
        let list = String.concat ", " (Printable.List others)

        DataError.create
            set.Place
            $"the test images have classes that no training image has: {list}"
            "Both splits must have the same classes"
        |> Error

let private ofNumbers (set: FileSet) tables =
    match Seq.fold max -1L (numbersIn tables) with
    | largest when largest < MaxNumbers -> Ok(Array.init (int largest + 1) string)
    | largest ->
        DataError.create
            set.Place
            $"its labels are numbers up to {largest}; without names of the classes they must be below {MaxNumbers}"
            "Number the classes from 0"
        |> Error

/// The names of the classes: the hub's, those in the tables, or numbers.
let private classNames (set: FileSet) (train: (string * Table) list) (test: (string * Table) list) =
    match train |> List.tryPick (fun (_, table) -> table.ClassNames), haveNames (train @ test) with
    | Some names, _ -> Ok names
    | None, [ true ] -> ofNames set train test
    | None, [ false ] -> ofNumbers set (train @ test)
    | None, _ ->
        DataError.create set.Place "some files have names as labels, and some have numbers" "Give files of one data set"
        |> Error

let private labelsOf (classes: string[]) table =
    match table.Labels with
    | Numbers labels ->
        labels
        |> Array.map (fun label -> if label >= 0L && label < classes.LongLength then int label else -1)
    | Names names -> names |> Array.map (fun name -> Array.IndexOf(classes, name))

let private missingImage = "the row has no image in it"

/// The images of a split that have a label, and the rows without one.
let private source (set: FileSet) classes (tables: (string * Table) list) =
    let rows =
        [| for path, table in tables do
               let labels = labelsOf classes table

               for row in 0 .. labels.Length - 1 do
                   struct (path, row, labels[row], table.Images[row]) |]

    let usable, others = rows |> Array.partition (fun struct (_, _, label, _) -> label >= 0)
    let name (struct (path, row, _, _)) = $"{path} row {row}"

    let labelOf i =
        let struct (_, _, label, _) = usable[i]
        label

    let bytes i =
        let struct (_, _, _, image: byte[]) = usable[i]
        if image.Length = 0 then Error missingImage else Ok image

    { Count = usable.Length
      Label = labelOf
      Name = fun i -> Printable.Text $"{set.Place}/{name usable[i]}"
      Load = bytes >> Result.bind Decode.image },
    bytes,
    LeftOut.create "the row has no label of a class" "" (Array.map name others)

/// Files of other splits and configurations, hidden ones, and images beside the Parquet files.
let private unused (set: FileSet) (files: ParquetSplits.File list) (used: ParquetSplits.File list) unlabelled =
    let isUnlabelled (file: ParquetSplits.File) = List.contains file unlabelled
    let known = HashSet used
    let without, others = files |> List.filter (known.Contains >> not) |> List.partition isUnlabelled

    let hidden =
        set.Files
        |> Array.filter (fun path ->
            SplitName.isHidden path && path.EndsWith(".parquet", StringComparison.OrdinalIgnoreCase))

    [ yield! LeftOut.create "the split has no labels" "" (without |> List.map _.Path)
      yield! LeftOut.create "the split is not used" "" (others |> List.map _.Path)
      yield! LeftOut.create "hidden files and folders are not read" "" hidden
      yield! LeftOut.create "the image is beside the Parquet files" "" (visibleImages set) ]

/// Shards that are missing: an error, unless the loss is accepted.
let private shards options (set: FileSet) used =
    match missingShards used with
    | [] -> Ok []
    | missing when options.AllowLeftOut -> Ok(LeftOut.create "the shard is missing" "" missing)
    | missing ->
        let list = String.concat ", " (Printable.List(List.toArray missing))

        DataError.create
            set.Place
            $"shards are missing: {list}"
            "Download them, or accept the loss with --allow-left-out"
        |> Error

let private noTest (set: FileSet) (unlabelled: ParquetSplits.File list) =
    match unlabelled with
    | [] ->
        DataError.create
            set.Place
            "no Parquet file has the name of a test split"
            "Train with --held-out 0.1, or name the split with --test-split; --test-split train evaluates on the training images"
    | file :: _ ->
        DataError.create
            set.Place
            $"the images of '{file.Split}' have no labels"
            "Train with --held-out 0.1, or evaluate on the training images with --test-split NAME"

let private build options (set: FileSet) files left (used: ParquetSplits.File list) unlabelled (train, test) =
    classNames set train test
    |> Result.bind (fun classes ->
        let images, bytes, lost = source set classes train
        let tests, _, lostTests = source set classes test

        if images.Count = 0 then
            Error(DataError.create set.Place "no training image has a label" "Give Parquet files with labels")
        else
            Ok
                { Classes = classes
                  Train = images
                  Test = if test.IsEmpty then None else Some tests
                  Size = bytes >> Result.bind Decode.size
                  LeftOut = left @ lost @ lostTests @ unused set files used unlabelled
                  IsFlat = false })

let private read limits options labels (set: FileSet) : Result<FolderImages, DataError list> =
    let files = listed set

    choose set.Place options.TrainSplit options.TestSplit files
    |> Result.mapError List.singleton
    |> Result.bind (fun choice ->
        chooseTest labels set choice.Tests
        |> Result.bind (fun (test, unlabelled) ->
            let used = choice.Train @ Option.defaultValue [] test

            if test.IsNone && not options.TestOptional then
                Error [ noTest set unlabelled ]
            else
                shards options set used
                |> Result.bind (fun left ->
                    tables limits.MemoryBytes labels set choice.Train
                    |> Result.bind (fun (rest, train) ->
                        tables rest labels set (Option.defaultValue [] test)
                        |> Result.bind (fun (_, test) -> build options set files left used unlabelled (train, test))))
                |> Result.mapError List.singleton))

/// <summary>The images of a Parquet file, or of a folder of them. <c>labels</c> are the possible names of the column of labels.</summary>
let openPath limits options labels (path: string) : Result<FolderImages, DataError list> =
    if File.Exists path then
        read limits options labels (single path)
    else
        Archive.openWith limits (fun _ -> true) path
        |> Result.mapError List.singleton
        |> Result.bind (read limits options labels)
