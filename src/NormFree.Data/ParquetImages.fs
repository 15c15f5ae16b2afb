/// <summary>Image data sets in Parquet files as on the Hugging Face hub: <c>data/train-00000-of-00002.parquet</c> or <c>train/0000.parquet</c>.</summary>
/// <remarks>Parquet files have no random access to images, so the encoded images of all files are kept in memory, up to 4 GiB.</remarks>
module internal NormFree.Data.ParquetImages

open System
open System.IO
open NormFree.Formats
open NormFree.Data.ParquetTable
open NormFree.Data.SplitName

let private isParquetName (path: string) = path.EndsWith(".parquet", StringComparison.OrdinalIgnoreCase)

/// The name of a file's split: its folder if that is the name of a split and the file's is not, otherwise the beginning of its name.
let private splitOf (path: string) =
    let start = (FileSet.fileName path).Split([| '-'; '.'; '_' |])[0]
    let folder = FileSet.fileName (FileSet.parent path)
    if (roleOf start).IsNone && (roleOf folder).IsSome then folder else start

/// A file as a set of one.
let private single (path: string) : FileSet =
    { Place = Path.GetDirectoryName(Path.GetFullPath path) |> string
      Files = [| Path.GetFileName path |> string |]
      Folders = [||]
      Links = [||]
      Read =
        fun _ -> DataError.guard path (fun () -> Ok(PlainFile.ReadAllBytes(path, FileSet.defaultLimits.EntryBytes))) }

let private listed (set: FileSet) =
    [ for i, path in Array.indexed set.Files do
          if isParquetName path && not (isHidden path) then
              i, path ]

/// Whether a path is a Parquet file, or a folder with Parquet files and without images.
let isParquet path =
    if File.Exists path then
        ReadOnlySpan(Content.headOf path).StartsWith("PAR1"B.AsSpan())
    elif Directory.Exists path then
        match Archive.openWith FileSet.defaultLimits (fun _ -> true) path with
        | Ok set -> not (listed set).IsEmpty && not (Array.exists ImageKind.isSupported set.Files)
        | Error _ -> false
    else
        false

/// The names of the splits, best first.
let private chosen options (set: FileSet) =
    let splits = listed set |> List.map (snd >> splitOf) |> List.distinct

    let withRoles roles =
        roles |> List.collect (fun role -> splits |> List.filter (fun split -> roleOf split = Some role))

    let named option' (name: string option) otherwise =
        match name with
        | Some name when List.contains name splits -> Ok [ name ]
        | Some name ->
            let known = String.concat ", " (Printable.List(List.toArray splits))

            Error(
                DataError.create
                    set.Place
                    $"{option'} {name}: there are no Parquet files of this split"
                    $"Name one of: {known}"
            )
        | None -> Ok otherwise

    match
        named "--train-split" options.TrainSplit (withRoles [ Training ]),
        named "--test-split" options.TestSplit (withRoles [ Testing; Validation ])
    with
    | Ok(train :: _), Ok tests -> Ok(train, List.tryHead (List.except [ train ] tests))
    | Ok [], _ ->
        DataError.create
            set.Place
            "no Parquet file has the name of a training split"
            "Name the split with --train-split, such as train for train-00000-of-00001.parquet"
        |> Error
    | Error error, _
    | _, Error error -> Error error

/// The tables of a split, within the limit on their total.
let private tables limits labels (set: FileSet) split : Result<(string * Table) list, DataError list> =
    listed set
    |> List.filter (fun (_, path) -> splitOf path = split)
    |> List.sortWith (fun (_, a) (_, b) -> String.CompareOrdinal(a, b))
    |> List.map (fun (_, path) ->
        let file = Path.Combine(set.Place, path)

        DataError.guard file (fun () ->
            use stream = File.OpenRead file
            openStream file labels limits.MemoryBytes stream |> Result.map (fun table -> path, table)))
    |> DataError.collect

let private requireMemory limits (set: FileSet) (tables: (string * Table) list) =
    let total =
        tables
        |> List.sumBy (fun (_, table) ->
            table.Images |> Array.sumBy (fun image -> if isNull (box image) then 0L else image.LongLength))

    if total > limits.MemoryBytes then
        DataError.create
            set.Place
            $"its images have {total} bytes; {limits.MemoryBytes} are kept in memory"
            "Export them to train/<class>/ and test/<class>/"
        |> List.singleton
        |> Error
    else
        Ok()

/// The names of the classes: the hub's, those in the tables, or numbers.
let private classNames (tables: Table list) =
    match tables |> List.tryPick _.ClassNames, (List.head tables).Labels with
    | Some names, _ -> names
    | None, Names _ ->
        tables
        |> Seq.collect (fun table ->
            match table.Labels with
            | Names names -> names
            | Numbers _ -> [||])
        |> Seq.distinct
        |> Seq.sortWith (fun a b -> String.CompareOrdinal(a, b))
        |> Array.ofSeq
    | None, Numbers _ ->
        let largest =
            tables
            |> Seq.collect (fun table ->
                match table.Labels with
                | Numbers labels -> labels
                | Names _ -> [||])
            |> Seq.fold max -1L

        Array.init (int (min largest 100_000L) + 1) string

let private labelsOf (classes: string[]) table =
    match table.Labels with
    | Numbers labels ->
        labels
        |> Array.map (fun label -> if label >= 0L && label < classes.LongLength then int label else -1)
    | Names names -> names |> Array.map (fun name -> Array.IndexOf(classes, name))

/// The images of a split that have a label, and those without.
let private source (set: FileSet) classes (tables: (string * Table) list) =
    let rows =
        [| for path, table in tables do
               let labels = labelsOf classes table

               for row in 0 .. labels.Length - 1 do
                   struct (path, row, labels[row], table.Images[row]) |]

    let isUsable (struct (_, _, label, image: byte[])) = label >= 0 && not (isNull (box image))
    let usable, others = Array.partition isUsable rows
    let name (struct (path, row, _, _)) = $"{path} row {row}"

    let labelOf i =
        let struct (_, _, label, _) = usable[i]
        label

    let bytes i =
        let struct (_, _, _, image) = usable[i]
        image

    { Count = usable.Length
      Label = labelOf
      Name = fun i -> Printable.Text $"{set.Place}/{name usable[i]}"
      Load = bytes >> Decode.image },
    bytes,
    LeftOut.create "the row has no image or no label of a class" "" (Array.map name others)

let private read limits options labels (set: FileSet) : Result<FolderImages, DataError list> =
    chosen options set
    |> Result.mapError List.singleton
    |> Result.bind (fun (train, test) ->
        match test with
        | None when not options.TestOptional -> Error [ SplitFolders.missingTest set ]
        | _ ->
            DataError.both
                (tables limits labels set train)
                (test |> Option.map (tables limits labels set) |> Option.defaultValue (Ok [])))
    |> Result.bind (fun (train, test) -> requireMemory limits set (train @ test) |> Result.map (fun () -> train, test))
    |> Result.map (fun (train, test) ->
        let classes = classNames (List.map snd (train @ test))
        let images, bytes, lost = source set classes train
        let tests, _, lostTests = source set classes test

        { Classes = classes
          Train = images
          Test = if test.IsEmpty then None else Some tests
          Size = bytes >> Decode.size
          LeftOut = lost @ lostTests
          IsFlat = false })

/// <summary>The images of a Parquet file, or of a folder of them. <c>labels</c> are the possible names of the column of labels.</summary>
let openPath limits options labels (path: string) : Result<FolderImages, DataError list> =
    if File.Exists path then
        read limits options labels (single path)
    else
        Archive.openWith limits (fun _ -> true) path
        |> Result.mapError List.singleton
        |> Result.bind (read limits options labels)
