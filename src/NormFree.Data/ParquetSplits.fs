/// <summary>Which of a data set's Parquet files belong to which split, by their names.</summary>
module internal NormFree.Data.ParquetSplits

open System
open System.Text.RegularExpressions
open NormFree.Formats
open NormFree.Data.SplitName

/// A file with its split, and the folder of its configuration: a repository of the hub may have several variants of one data set.
type File = { Path: string; Split: string; Configuration: string }

let private isParquetName (path: string) = path.EndsWith(".parquet", StringComparison.OrdinalIgnoreCase)

/// The split is the folder if that is the name of a split and the file's is not, otherwise the beginning of the file's name.
let private ofPath (path: string) =
    let folder = FileSet.parent path
    let start = (FileSet.fileName path).Split([| '-'; '.'; '_' |])[0]
    let isInSplit = (roleOf (FileSet.fileName folder)).IsSome

    { Path = path
      Split = if isInSplit && (roleOf start).IsNone then FileSet.fileName folder else start
      Configuration = if isInSplit then FileSet.parent folder else folder }

/// The Parquet files of a set, in ordinal order.
let listed (set: FileSet) : File list =
    [ for path in set.Files |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) do
          if isParquetName path && not (isHidden path) then
              ofPath path ]

/// The files of the splits that are chosen: those for training, and the candidates for testing, best first.
type Choice = { Train: File list; Tests: File list list }

let private names (files: File list) = files |> List.map _.Split |> List.distinct

let private quoted (words: string list) = String.concat ", " (Printable.List(List.toArray words))

/// The only configuration of the files. The same images may be in several, so they are not mixed.
let private ofOneConfiguration place (files: File list) =
    match files |> List.map _.Configuration |> List.distinct with
    | []
    | [ _ ] -> Ok files
    | several ->
        Error(DataError.create place $"it contains several data sets: {quoted several}" "Give the path of one of them")

let private named place option' (files: File list) (name: string) =
    match files |> List.filter (fun file -> file.Split = name) with
    | [] ->
        DataError.create
            place
            $"{option'} {name}: there are no Parquet files of this split"
            $"Name one of: {quoted (names files)}"
        |> Error
    | found -> ofOneConfiguration place found

/// The training files by the role of their split. A split of another name is one if it is the only one.
let private trainByRole place (files: File list) =
    match files |> List.filter (fun file -> roleOf file.Split = Some Training), names files with
    | [], [ only ] when roleOf only = None -> ofOneConfiguration place files
    | [], known ->
        DataError.create
            place
            "no Parquet file has the name of a training split"
            $"Name the split with --train-split: {quoted known}"
        |> Error
    | found, _ ->
        let best = found |> List.minBy (fun file -> rank file.Split)
        found |> List.filter (fun file -> file.Split = best.Split) |> ofOneConfiguration place

/// The candidates for testing beside the training files.
let private testsByRole (files: File list) (train: File list) =
    let beside =
        files
        |> List.filter (fun file -> file.Configuration = train.Head.Configuration && file.Split <> train.Head.Split)

    [ for role in [ Testing; Validation ] do
          for split in names beside |> List.filter (fun split -> roleOf split = Some role) |> List.sortBy rank do
              beside |> List.filter (fun file -> file.Split = split) ]

/// <summary>The splits by their names, or by the names that the user gives.</summary>
let choose place (trainName: string option) (testName: string option) (files: File list) : Result<Choice, DataError> =
    match trainName with
    | Some name -> named place "--train-split" files name
    | None -> trainByRole place files
    |> Result.bind (fun train ->
        match testName with
        | Some name ->
            named place "--test-split" files name
            |> Result.map (fun test -> { Train = train; Tests = [ test ] })
        | None -> Ok { Train = train; Tests = testsByRole files train })

/// The shards of a split that its names announce, such as <c>train-00000-of-00002.parquet</c>, and that are not there.
let missingShards (files: File list) : string list =
    [ for file in files do
          let found = Regex.Match(FileSet.fileName file.Path, @"^(.*-)(\d{1,9})(-of-)(\d{1,6})(\D.*)$")

          if found.Success then
              let part (i: int) = found.Groups[i].Value
              FileSet.parent file.Path, (part 1, part 3 + part 4 + part 5), (part 2).Length, int (part 4), int (part 2) ]
    |> List.groupBy (fun (folder, name, digits, count, _) -> folder, name, digits, count)
    |> List.collect (fun ((_, (before, after), digits, count), shards) ->
        let known = shards |> List.map (fun (_, _, _, _, number) -> number) |> set

        [ for number in 0 .. count - 1 do
              if not (known.Contains number) then
                  before + (string number).PadLeft(digits, '0') + after ])
