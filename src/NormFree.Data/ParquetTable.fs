/// <summary>Tables of images in Parquet files, as on the Hugging Face hub: a column of structs with the bytes of an image file, and a column of labels.</summary>
module internal NormFree.Data.ParquetTable

open System
open System.Collections.Generic
open System.IO
open System.Text.Json.Nodes
open System.Threading.Tasks
open NormFree.Formats
open Parquet
open Parquet.Data
open Parquet.Schema

/// The labels of a table: numbers, or names of classes.
type Labels =
    | Numbers of int64[]
    | Names of string[]

/// The images and labels of one file.
type Table =
    {
        Images: byte[][]
        Labels: Labels
        /// The names of the classes in the hub's metadata.
        ClassNames: string[] option
    }

let private refuse file what remedy = raise (InvalidFileException(file, "table", what, remedy))

let private remedy =
    "The table needs a column 'image' with the bytes of image files and a column 'label', as the hub's image data sets have"

/// Names of the column of labels in the hub's data sets. CIFAR-100 has fine and coarse ones.
let labelNames = [ "label"; "labels"; "fine_label"; "class"; "target"; "category" ]

/// The names of the columns from the root, without the levels that lists add.
let private pathOf (field: DataField) = field.Path.ToList() |> List.ofSeq

let private describe (schema: ParquetSchema) =
    schema.DataFields
    |> Seq.map (fun field -> String.concat "." (pathOf field))
    |> Seq.toArray
    |> Printable.List
    |> String.concat ", "

/// The column with the bytes of the images.
let private imageColumn file (schema: ParquetSchema) =
    let isImage (field: DataField) =
        (field.ClrType = typeof<byte[]> || field.ClrType = typeof<ReadOnlyMemory<byte>>)
        && match pathOf field with
           | [ _; "bytes" ] -> true
           | [ name ] -> List.contains name [ "image"; "img"; "bytes"; "png"; "jpg"; "jpeg" ]
           | _ -> false

    let isUsual (field: DataField) = List.contains (pathOf field).Head [ "image"; "img" ]
    let found = schema.DataFields |> Array.filter isImage

    // Beside the images there may be masks or thumbnails.
    match found, Array.filter isUsual found with
    | [| field |], _
    | _, [| field |] -> field
    | [||], _ -> refuse file $"it has no column of images; its columns are {describe schema}" remedy
    | several, _ -> refuse file $"it has {several.Length} columns of images; its columns are {describe schema}" remedy

let private tryLabelColumn names (schema: ParquetSchema) =
    let tops = schema.DataFields |> Array.filter (fun field -> (pathOf field).Length = 1)
    names |> List.tryPick (fun name -> tops |> Array.tryFind (fun field -> field.Name = name))

let private labelColumn file names (schema: ParquetSchema) =
    match tryLabelColumn names schema with
    | Some field -> field
    | None -> refuse file $"it has no column of labels; its columns are {describe schema}" remedy

/// Items of a JSON text by a path of names.
let rec private item (names: string list) (node: JsonNode | null) : JsonNode | null =
    match names, node with
    | [], node -> node
    | name :: rest, (:? JsonObject as node) -> item rest node[name]
    | _ -> null

/// The names of the classes in the hub's metadata, a JSON text.
let private hubNames (label: string) (metadata: IReadOnlyDictionary<string, string>) =
    match metadata.TryGetValue "huggingface" with
    | true, text ->
        try
            match item [ "info"; "features"; label; "names" ] (JsonNode.Parse text) with
            | :? JsonArray as names when Seq.forall (isNull >> not) names -> Some [| for name in names -> string name |]
            | _ -> None
        with
        | :? Text.Json.JsonException
        // A string has half of a surrogate pair, or an object has a field twice.
        | :? InvalidOperationException
        | :? ArgumentException -> None
    | _ -> None

let private readNumbers<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType>
    file
    (group: ParquetRowGroupReader)
    (field: DataField)
    (toNumber: 'T -> int64)
    : Task<Labels> =
    task {
        if field.IsNullable then
            let values: Nullable<'T>[] = Array.zeroCreate (int group.RowCount)
            do! group.ReadAsync<'T>(field, Memory values)

            return values |> Array.map (fun value -> if value.HasValue then toNumber value.Value else -1L) |> Numbers
        else
            let values: 'T[] = Array.zeroCreate (int group.RowCount)
            do! group.ReadAsync<'T>(field, Memory values)
            return Numbers(Array.map toNumber values)
    }

let private readLabels file (group: ParquetRowGroupReader) (field: DataField) : Task<Labels> =
    task {
        match field.ClrType with
        | kind when kind = typeof<int64> -> return! readNumbers<int64> file group field id
        | kind when kind = typeof<int> -> return! readNumbers<int> file group field int64
        | kind when kind = typeof<int16> -> return! readNumbers<int16> file group field int64
        | kind when kind = typeof<sbyte> -> return! readNumbers<sbyte> file group field int64
        | kind when kind = typeof<byte> -> return! readNumbers<byte> file group field int64
        | kind when kind = typeof<uint16> -> return! readNumbers<uint16> file group field int64
        | kind when kind = typeof<uint32> -> return! readNumbers<uint32> file group field int64
        // Numbers of more than 63 bits become negative: they are no labels.
        | kind when kind = typeof<uint64> -> return! readNumbers<uint64> file group field int64
        | kind when kind = typeof<bool> ->
            return! readNumbers<bool> file group field (fun value -> if value then 1L else 0L)
        | kind when kind = typeof<string> || kind = typeof<ReadOnlyMemory<char>> ->
            let values: string[] = Array.zeroCreate (int group.RowCount)
            do! group.ReadAsync(field, Memory values)
            return Names values
        | kind -> return refuse file $"its labels are of the type {kind.Name}" "Give whole numbers or names"
    }

/// Whether a row has no value.
let private hasNull (field: DataField) (column: RawColumnData) =
    let levels = column.DefinitionLevels
    let mutable found = false

    for i in 0 .. levels.Length - 1 do
        found <- found || levels[i] < field.MaxDefinitionLevel

    found

let private readGroup file (image: DataField) label (group: ParquetRowGroupReader) =
    task {
        use! raw = group.ReadRawColumnDataBaseAsync image

        // ReadAsync moves the values after a null forward, so that images would get wrong labels, and leaves old values in the last places.
        if hasNull image raw then
            refuse file "it has rows without an image" "Write it again without these rows"

        let images: byte[][] = Array.zeroCreate (int group.RowCount)
        do! group.ReadAsync(image, Memory images)
        let! labels = readLabels file group label
        return images, labels
    }

let private append first second =
    match first, second with
    | Numbers first, Numbers second -> Numbers(Array.append first second)
    | Names first, Names second -> Names(Array.append first second)
    | _ -> invalidOp "Expected labels of one type."

/// Rejects a group that announces more than the file can hold before memory is allocated for it.
let private requireSize file (stream: Stream) i (group: ParquetRowGroupReader) =
    let limits, bytes = FileSet.defaultLimits, group.RowGroup.TotalByteSize

    // Every row takes a byte at least.
    if group.RowCount < 0L || group.RowCount > stream.Length then
        refuse
            file
            $"row group {i} announces {group.RowCount} rows; the file has {stream.Length} bytes"
            DataError.downloadAgain
    elif Listing.isTooDense bytes stream.Length limits then
        let error = Listing.tooDense file bytes stream.Length limits
        refuse file error.Problem error.Remedy

let private hasLabel labels =
    match labels with
    | Numbers labels -> Array.exists (fun label -> label >= 0L) labels
    | Names names -> names |> Array.exists (fun name -> not (isNull (box name)))

/// Whether any row has a label.
let private readIsLabelled file labelNames (stream: Stream) =
    task {
        use! reader = ParquetReader.CreateAsync stream
        let column = tryLabelColumn labelNames reader.Schema
        let mutable found = false

        for i in 0 .. reader.RowGroupCount - 1 do
            match column with
            | Some column when not found ->
                use group = reader.OpenRowGroupReader i
                requireSize file stream i group
                let! labels = readLabels file group column
                found <- hasLabel labels
            | _ -> ()

        return found
    }

let private read file labelNames (limit: int64) (stream: Stream) =
    task {
        use! reader = ParquetReader.CreateAsync stream
        let image, label = imageColumn file reader.Schema, labelColumn file labelNames reader.Schema
        let images, kinds = List(), List()
        let mutable total = 0L

        for i in 0 .. reader.RowGroupCount - 1 do
            use group = reader.OpenRowGroupReader i

            requireSize file stream i group
            let! found, kind = readGroup file image label group
            images.Add found
            kinds.Add kind
            total <- total + (found |> Array.sumBy _.LongLength)

            if total > limit then
                refuse
                    file
                    $"its images have more than {limit} bytes, which have to fit into memory"
                    "Export them to class folders"

        return
            { Images = Array.concat images
              Labels = if kinds.Count = 0 then Numbers [||] else Seq.reduce append kinds
              ClassNames = hubNames label.Name reader.CustomMetadata }
    }

let private result file (work: Task<'a>) : Result<'a, DataError> =
    try
        Ok(work.GetAwaiter().GetResult())
    with
    | :? InvalidFileException -> reraise ()
    // Parquet.Net throws exceptions of many types for damaged files.
    | error ->
        DataError.create file $"the Parquet file cannot be read ({error.Message.TrimEnd '.'})" DataError.downloadAgain
        |> Error

/// Opens a file that has to be a Parquet file.
let private withFile (file: string) (work: Stream -> Task<'a>) : Result<'a, DataError> =
    DataError.guard file (fun () ->
        PlainFile.RequireNoPipe(file, "Give a Parquet file")
        use stream = File.OpenRead file
        let head = Content.head stream
        stream.Position <- 0L

        match Content.ofHead head with
        | Content.Other(kind, remedy) when not (ReadOnlySpan(head).StartsWith(ReadOnlySpan "PAR1"B)) ->
            Error(DataError.create file $"it is {kind}, not a Parquet file" remedy)
        | _ -> result file (work stream))

/// <summary>The table of a file. At most <c>limit</c> bytes of images are kept.</summary>
let openFile file labelNames limit : Result<Table, DataError> = withFile file (read file labelNames limit)

/// <summary>Whether any row of a file has a label. A split without labels may lack their column.</summary>
let isLabelled file labelNames : Result<bool, DataError> = withFile file (readIsLabelled file labelNames)
